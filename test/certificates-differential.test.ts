import { X509Certificate } from "node:crypto";
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import * as fc from "fast-check";
import { isVersion1 } from "../src/certificates/shown.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import { Failure } from "../src/failures/failures.ts";
import { fetchInProcess } from "./helpers/in-process.ts";
import { mutate, type Mutation } from "./helpers/mutate.ts";
import { openOpenssl, type OpensslFolder } from "./helpers/openssl.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";

let authority: TestAuthority;
let client: TestCertificate;
let origin: TestOrigin;
let openssl: OpensslFolder;

before(async () => {
  authority = await makeAuthority();
  client = await authority.issue({
    subject: "CN=client,O=Acme",
    dns: ["api.example.com"],
    ips: ["10.0.0.1"],
    uris: ["spiffe://acme/client"],
  });
  origin = await startOrigin({ authority });
  openssl = await openOpenssl();
});

after(async () => {
  await origin[Symbol.asyncDispose]();
  await openssl[Symbol.asyncDispose]();
});

const change: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("flip", "set", "remove", "insert"),
  at: fc.nat(2000),
  value: fc.nat(255),
});

it("what is accepted of altered certificates, OpenSSL reads and workerd takes", async () => {
  const der = Buffer.from(client.pem.replaceAll(/-----.*-----|\s/g, ""), "base64");
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(change, async (mutation) => {
      const altered = mutate(der, [mutation]).toString("base64");
      const parsed = accept(`-----BEGIN CERTIFICATE-----\n${altered}\n-----END CERTIFICATE-----\n`);
      if (parsed === null) return;
      accepted += 1;
      await openssl.run(["x509", "-noout", "-text"], parsed.chain);
      // workerd does not accept version 1. The gateway presents such certificates, also for in-process bindings.
      if (isVersion1(new X509Certificate(parsed.chain))) return;
      const result = await fetchInProcess({
        origin: origin.url,
        authority: authority.pem,
        chain: parsed.chain,
        privateKey: parsed.privateKey,
      });
      // The origin refuses the wrong signature; the test is about whether workerd accepts the certificate.
      if ("refused" in result) assert.doesNotMatch(result.refused, /TLS configuration/);
    }),
    { numRuns: 200 },
  );
  assert(accepted > 10, `${accepted} accepted`);
});

/** Without the issuer in the file, nobody can tell that the signature is wrong, and that is what this needs. */
function accept(certificates: string): { chain: string; privateKey: string } | null {
  try {
    const now = new Date();
    const upload = { certificates, privateKey: client.key, ca: false, now, allowExpired: true };
    const parsed = parseUpload(upload);
    return parsed.kind === "leaf" ? parsed : null;
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}
