import assert from "node:assert/strict";
import test, { before } from "node:test";
import * as fc from "fast-check";
import { anyText } from "../../../../test/helpers/any-text.ts";
import { makeAuthority, type TestCertificate } from "../../../../test/helpers/pki.ts";
import { readForwardedClientCert } from "./forwarded-client-cert.ts";
import { proxyHeaderNames, readProxyHeaders, type ProxyFormat } from "./proxy.ts";

const uri = "spiffe://example.org/account/acme/worker/a";
let client: TestCertificate;
let der: string;

before(async () => {
  const authority = await makeAuthority();
  client = await authority.issue({ subject: "O=acme,CN=a", uris: [uri] });
  der = Buffer.from(client.x509.rawData).toString("base64");
});

function headersOf(format: ProxyFormat): Record<string, string> {
  const escaped = encodeURIComponent(client.pem);
  const forged = `By=spiffe://x/y;Hash=${"0".repeat(64)};URI=spiffe://forged/z`;
  const headers: Record<ProxyFormat, Record<string, string>> = {
    "client-cert": { "client-cert": `:${der}:` },
    xfcc: { "x-forwarded-client-cert": `${forged},Cert="${escaped}"` },
    nginx: { "x-ssl-client-verify": "SUCCESS", "x-ssl-client-cert": escaped },
    haproxy: { "x-ssl-client-verify": "0", "x-ssl-client-der": der },
  };
  return headers[format];
}

const formats = Object.keys(proxyHeaderNames) as ProxyFormat[];

test("each proxy's headers give the same certificate", () => {
  for (const format of formats) {
    const word = readProxyHeaders(format, headersOf(format));
    assert.ok(typeof word === "object", format);
    assert.deepEqual(word.uris, [uri]);
    assert.equal(word.subject, "CN=a,O=acme");
  }
});

test("no header is no certificate", () => {
  for (const format of formats) assert.equal(readProxyHeaders(format, {}), "none");
});

test("a certificate that the proxy did not verify is none that counts", () => {
  const nginx = { ...headersOf("nginx"), "x-ssl-client-verify": "FAILED:certificate has expired" };
  assert.equal(readProxyHeaders("nginx", nginx), "unverified");
  assert.equal(
    readProxyHeaders("haproxy", { ...headersOf("haproxy"), "x-ssl-client-verify": "10" }),
    "unverified",
  );
});

test("a header that came twice, is cut, or has more in it than one certificate is not guessed at", () => {
  const twice = `:${der}:, :${der}:`;
  const cut = `:${der.slice(0, -8)}:`;
  const more = `:${Buffer.concat([Buffer.from(der, "base64"), Buffer.from("x")]).toString("base64")}:`;
  for (const value of [twice, cut, more, der, "::", ":%:", `:${der}`]) {
    assert.equal(
      readProxyHeaders("client-cert", { "client-cert": value }),
      "malformed",
      value.slice(0, 20),
    );
  }
});

test("of Envoy's elements the last counts, which a client cannot write", () => {
  const value = `URI=${uri},Hash=${"1".repeat(64)};Subject="CN=b\\"x,O=c";URI=spiffe://example.org/b`;
  const word = readProxyHeaders("xfcc", { "x-forwarded-client-cert": value });
  assert.ok(typeof word === "object");
  assert.deepEqual(
    [word.fingerprint, word.uris, word.subject],
    ["1".repeat(64), ["spiffe://example.org/b"], 'CN=b"x,O=c'],
  );
});

test("Envoy's elements that cannot be read without guessing are refused", () => {
  for (const value of [
    "",
    ";",
    "Hash",
    "Hash=1",
    'Subject="a',
    "Hash=x;Hash=y",
    "Foo=1",
    'URI=a"b',
    "Hash=a b",
    ",",
    "URI=a,",
  ]) {
    assert.equal(readForwardedClientCert(value), null, value);
  }
});

test("whatever a header holds, reading it ends, and throws nothing", () => {
  const value = fc.oneof(
    anyText,
    fc
      .array(
        fc.constantFrom(
          "Hash=",
          "Cert=",
          "URI=",
          '"',
          ";",
          ",",
          "\\",
          "=",
          ":",
          "%",
          "%2",
          "a",
          " ",
        ),
      )
      .map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(fc.constantFrom(...formats), value, (format, text) => {
      const headers = Object.fromEntries(proxyHeaderNames[format].map((name) => [name, text]));
      const word = readProxyHeaders(format, {
        ...headers,
        "x-ssl-client-verify": format === "nginx" ? "SUCCESS" : "0",
      });
      assert.ok(typeof word === "string" || word.fingerprint.length === 64);
    }),
    { numRuns: 2_000 },
  );
  const start = performance.now();
  readForwardedClientCert("=".repeat(200_000));
  readForwardedClientCert(`Subject="${"\\".repeat(200_000)}`);
  readForwardedClientCert("URI=;".repeat(40_000));
  const blank = `-----BEGIN CERTIFICATE-----${" ".repeat(130_000)}`;
  const nginx = { "x-ssl-client-verify": "SUCCESS", "x-ssl-client-cert": blank };
  assert.equal(readProxyHeaders("nginx", nginx), "malformed");
  assert.ok(performance.now() - start < 5_000);
});
