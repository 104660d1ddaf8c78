import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { before, describe, it } from "node:test";
import * as fc from "fast-check";
import { mutate, type Mutation } from "../../test/helpers/mutate.ts";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { showCertificate } from "./shown.ts";

const seeds: Buffer[] = [];

before(async () => {
  const authority = await makeAuthority();
  const named = { dns: ["a.example", "b.example"], uris: ["spiffe://acme/client"] };
  for (const subject of ["CN=client,O=Acme,C=US", ""]) {
    seeds.push(new X509Certificate((await authority.issue({ subject, ...named })).pem).raw);
  }
});

describe("a certificate is shown", () => {
  it("with its name in RFC 2253 order, as the API shows it", () => {
    const shown = showCertificate(new X509Certificate(seeds[0]!));
    assert.equal(shown.subject, "C=US,O=Acme,CN=client");
    assert.deepEqual(shown.names, ["DNS:a.example", "DNS:b.example", "URI:spiffe://acme/client"]);
    assert.match(shown.notAfter, /^20\d\d-/);
  });

  it("without a subject", () => {
    const shown = showCertificate(new X509Certificate(seeds[1]!));
    assert.equal(shown.subject, "");
    assert.equal(shown.issuer, "CN=Test Root CA");
  });

  it("with dates that are none", () => {
    const der = Buffer.from(seeds[0]!);
    // The first UTCTime: notBefore.
    der.write("99", der.indexOf(Buffer.from([0x17, 0x0d])) + 4, "latin1");
    assert.equal(showCertificate(new X509Certificate(der)).notBefore, "unreadable");
  });

  it("whatever its bytes are, in bounded length", () => {
    const mutation: fc.Arbitrary<Mutation> = fc.record({
      kind: fc.constantFrom("flip", "set", "copy"),
      at: fc.nat(600),
      value: fc.nat(255),
    });
    fc.assert(
      fc.property(
        fc.nat(1),
        fc.array(mutation, { minLength: 1, maxLength: 6 }),
        (seed, changes) => {
          let x509: X509Certificate;
          try {
            x509 = new X509Certificate(mutate(seeds[seed]!, changes));
          } catch {
            return;
          }
          const shown = showCertificate(x509);
          for (const text of [shown.subject, shown.issuer, ...shown.names]) {
            assert.ok(typeof text === "string" && text.length <= 500);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
