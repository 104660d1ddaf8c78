// A server in Go that learns from SPIFFE's own library which Worker calls. It contains no code of Countersign.
//
//	go run . -trust-domain countersign.internal -bundle https://cs.example:4400/client/v4/accounts/ACCOUNT/countersign/identity/bundle.json \
//	  -svid svid.pem -key svid.key -allow spiffe://countersign.internal/account/ACCOUNT/worker/orders
package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	domain := flag.String("trust-domain", "countersign.internal", "of the Workers")
	bundleURL := flag.String("bundle", "", "the account's bundle.json, https_web")
	roots := flag.String("bundle-ca", "", "PEM: the CA of the bundle's server, if it is none of this machine's")
	refresh := flag.Duration("refresh", 0, "how often to look for a new bundle; default: as it says itself")
	svidFile := flag.String("svid", "", "PEM: this server's own SVID, and its chain")
	keyFile := flag.String("key", "", "PEM: its key")
	allow := map[spiffeid.ID]bool{}
	flag.Func("allow", "a Worker's SPIFFE ID, repeatable", func(text string) error {
		id, err := spiffeid.FromString(text)
		allow[id] = err == nil
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	own, err := x509svid.Load(*svidFile, *keyFile)
	must(err)
	trusted := spiffeid.RequireTrustDomainFromString(*domain)
	follower := &follower{set: spiffebundle.NewSet(), refresh: *refresh, first: make(chan struct{})}
	go func() {
		err := federation.WatchBundle(ctx, trusted, *bundleURL, follower, bundleOptions(*roots)...)
		if ctx.Err() == nil {
			must(err)
		}
	}()
	<-follower.first

	// The handshake checks whether the CA vouches for the caller; the handler decides whether to let it in.
	config := tlsconfig.MTLSServerConfig(own, follower.set, tlsconfig.AuthorizeMemberOf(trusted))
	listener, err := net.Listen("tcp", *listen)
	must(err)
	server := &http.Server{
		TLSConfig: config,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := x509svid.IDFromCert(r.TLS.PeerCertificates[0])
			if err != nil || !allow[id] {
				http.Error(w, fmt.Sprintf("%s may not come in", id), http.StatusForbidden)
				return
			}
			fmt.Fprintf(w, "Hello %s\n", id)
		}),
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
		must(err)
	}
}

// follower holds the latest published bundle.
type follower struct {
	set     *spiffebundle.Set
	refresh time.Duration
	first   chan struct{}
	once    sync.Once
}

func (f *follower) NextRefresh(hint time.Duration) time.Duration {
	if f.refresh > 0 {
		return f.refresh
	}
	if hint > 0 {
		return hint
	}
	return 5 * time.Minute
}

func (f *follower) OnUpdate(bundle *spiffebundle.Bundle) {
	f.set.Add(bundle)
	fmt.Printf("trusts %d\n", len(bundle.X509Authorities()))
	f.once.Do(func() { close(f.first) })
}

// The previous bundle stays in force.
func (f *follower) OnError(err error) { log.Print(err) }

func bundleOptions(file string) []federation.FetchOption {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	must(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		log.Fatalf("%s holds no certificate", file)
	}
	return []federation.FetchOption{federation.WithWebPKIRoots(pool)}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
