// The calls that Terraform's Cloudflare provider makes, with the SDK that it makes them with: each
// resource of main.tf is created, read as a plan reads it, changed or replaced, and deleted.
// It reads the variables of `countersign env`:
//
//	go run . client.pem client.key ca.pem
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go/v6/mtls_certificates"
	"github.com/cloudflare/cloudflare-go/v6/option"
	"github.com/cloudflare/cloudflare-go/v6/workers"
)

var (
	ctx     = context.Background()
	account = os.Getenv("CLOUDFLARE_ACCOUNT_ID")
	options = []option.RequestOption{
		option.WithBaseURL(os.Getenv("CLOUDFLARE_BASE_URL") + "/"),
		option.WithAPIToken(os.Getenv("CLOUDFLARE_API_TOKEN")),
	}
	certificates = mtls_certificates.NewMTLSCertificateService(options...)
	worker       = workers.NewWorkerService(options...)
)

const name = "provider-calls"

// The SDK's retries, which go on for minutes if a 409 does not say that they are useless.
func refused(err error, code string) {
	check(err != nil && strings.Contains(err.Error(), code), "refused with %s: %v", code, err)
}

func check(ok bool, format string, values ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", values...)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

// The provider sends the body that its own types make, and reads the answer's JSON into them.
func raw(body any) []option.RequestOption {
	if form, is := body.(*form); is {
		return []option.RequestOption{option.WithRequestBody(form.contentType, form.body)}
	}
	return []option.RequestOption{option.WithRequestBody("application/json", must(json.Marshal(body)))}
}

type form struct {
	contentType string
	body        []byte
}

// Writes a script as the provider does: its metadata, and the module as a file.
func script(certificate string, code string) *form {
	buffer := &bytes.Buffer{}
	writer := multipart.NewWriter(buffer)
	part := func(name string, file string, contentType string, content string) {
		header := textproto.MIMEHeader{}
		disposition := fmt.Sprintf(`form-data; name="%s"`, name)
		if file != "" {
			disposition += fmt.Sprintf(`; filename="%s"`, file)
		}
		header.Set("Content-Disposition", disposition)
		header.Set("Content-Type", contentType)
		io.WriteString(must(writer.CreatePart(header)), content)
	}
	metadata := must(json.Marshal(map[string]any{
		"main_module":        "index.js",
		"compatibility_date": "2026-01-01",
		"bindings": []map[string]any{
			{"name": "CERT", "type": "mtls_certificate", "certificate_id": certificate},
		},
	}))
	part("metadata", "", "application/json", string(metadata))
	part("index.js", "index.js", "application/javascript+module", code)
	writer.Close()
	return &form{writer.FormDataContentType(), buffer.Bytes()}
}

func read(file string) string { return string(must(os.ReadFile(file))) }

func upload(certificate map[string]any) string {
	made := must(certificates.New(ctx, of[mtls_certificates.MTLSCertificateNewParams](), raw(certificate)...))
	found := must(certificates.Get(ctx, made.ID, of[mtls_certificates.MTLSCertificateGetParams]()))
	check(found.Name == certificate["name"] && found.ExpiresOn.After(time.Now()), "%+v", found)
	return made.ID
}

func remove(id string) error {
	_, err := certificates.Delete(ctx, id, of[mtls_certificates.MTLSCertificateDeleteParams]())
	return err
}

func put(certificate string, code string) *workers.ScriptUpdateResponse {
	return must(worker.Scripts.Update(ctx, name, of[workers.ScriptUpdateParams](), raw(script(certificate, code))...))
}

// Like a plan: every value that was set reads the same, and every field that the provider dereferences exists.
func plan(certificate string) {
	settings := must(worker.Scripts.ScriptAndVersionSettings.Get(ctx, name,
		of[workers.ScriptScriptAndVersionSettingGetParams]()))
	check(!settings.JSON.Placement.IsMissing(), "placement is missing, and the provider ends: %s", settings.JSON.RawJSON())
	check(len(settings.Bindings) == 1 && settings.Bindings[0].CertificateID == certificate, "%+v", settings.Bindings)
	check(settings.CompatibilityDate == "2026-01-01", "%s", settings.CompatibilityDate)
	content := must(worker.Scripts.Content.Get(ctx, name, of[workers.ScriptContentGetParams]()))
	check(content.StatusCode == http.StatusOK, "%d", content.StatusCode)
	content.Body.Close()
}

func main() {
	check(len(os.Args) == 4, "go run . client.pem client.key ca.pem")
	client := map[string]any{
		"ca": false, "name": "provider-client",
		"certificates": read(os.Args[1]), "private_key": read(os.Args[2]),
	}
	authority := upload(map[string]any{"ca": true, "name": "provider-ca", "certificates": read(os.Args[3])})
	certificate := upload(client)
	const code = "export default { fetch: () => new Response('first') };"
	put(certificate, code)
	plan(certificate)

	// Replacing a bound certificate without create_before_destroy, and a name that is taken: both are
	// refused at once, not after minutes of retries.
	began := time.Now()
	refused(remove(certificate), "409")
	_, err := certificates.New(ctx, of[mtls_certificates.MTLSCertificateNewParams](), raw(client)...)
	refused(err, "409")
	check(time.Since(began) < 10*time.Second, "it was tried again for %s", time.Since(began))

	check(len(put(certificate, strings.Replace(code, "first", "second", 1)).Handlers) == 1, "no handlers")
	plan(certificate)

	domains := must(worker.Domains.Update(ctx, of[workers.DomainUpdateParams](),
		raw(map[string]any{"hostname": "provider.example.test", "service": name, "environment": "production"})...))
	domain := must(worker.Domains.Get(ctx, domains.ID, of[workers.DomainGetParams]()))
	check(domain.Service == name, "%+v", domain)
	must(worker.Domains.Delete(ctx, domains.ID, of[workers.DomainDeleteParams]()))

	must(worker.Scripts.Delete(ctx, name, of[workers.ScriptDeleteParams]()))
	check(remove(certificate) == nil && remove(authority) == nil, "not deleted")
	_, err = certificates.Get(ctx, certificate, of[mtls_certificates.MTLSCertificateGetParams]())
	refused(err, "404")
	fmt.Println("created, read, changed and deleted")
}

// Parameters with the account. `cloudflare.F` would do this, but needs every product to be compiled.
func of[T any]() T {
	var params T
	field := reflect.ValueOf(&params).Elem().FieldByName("AccountID")
	field.FieldByName("Value").SetString(account)
	field.FieldByName("Present").SetBool(true)
	return params
}
