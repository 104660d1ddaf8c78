import assert from "node:assert/strict";
import { request } from "node:https";
import { createSecureContext } from "node:tls";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { worksInProcess } from "../src/certificates/key-kinds.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import type { FailureCode } from "../src/failures/failures.ts";
import { fetchInProcess } from "./helpers/in-process.ts";
import { issueAuthorityKind, issueKind } from "./helpers/keys.ts";
import { openOpenssl, type OpensslFolder } from "./helpers/openssl.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { refusal } from "./helpers/refusal.ts";

const accepted = [
  "RSA 2048",
  "RSA 2560",
  "RSA-PSS 2048",
  "EC P-256",
  "EC P-384",
  "EC P-521",
  "Ed25519",
  "ML-DSA-44",
  "ML-DSA-65",
  "ML-DSA-87",
];

const refused: Readonly<Record<string, FailureCode>> = {
  "RSA 1024": "key_size_unsupported",
  "RSA 2047": "key_size_unsupported",
  "RSA-PSS 1024": "key_size_unsupported",
  "EC P-224": "key_curve_unsupported",
  "EC secp256k1": "key_curve_unsupported",
  "EC brainpoolP256r1": "key_curve_unsupported",
  "EC P-256 by its numbers": "key_curve_unsupported",
  Ed448: "key_algorithm_unsupported",
  X25519: "key_algorithm_unsupported",
  DSA: "key_algorithm_unsupported",
};

let authority: TestAuthority;
let origin: TestOrigin;
let openssl: OpensslFolder;
let opensslAlgorithms: string;

before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({ authority });
  openssl = await openOpenssl();
  opensslAlgorithms = await openssl.run(["list", "-public-key-algorithms"]);
  await openssl.write("root.pem", authority.pem);
});

after(async () => {
  await origin[Symbol.asyncDispose]();
  await openssl[Symbol.asyncDispose]();
});

for (const kind of accepted) {
  describe(`a certificate over ${kind}`, () => {
    let chain: string;
    let privateKey: string;

    before(async () => {
      const issued = await issueKind(authority, kind);
      const parsed = parseUpload({
        certificates: issued.pem,
        privateKey: issued.key,
        ca: false,
        now: new Date(),
        authorities: [authority.pem],
      });
      assert(parsed.kind === "leaf");
      assert.equal(parsed.facts.key, kind);
      assert.deepEqual(parsed.warnings, []);
      ({ chain, privateKey } = parsed);
    });

    it("is presented to an origin by Node", async () => {
      const tls = { ca: authority.pem, cert: chain, key: privateKey };
      const answer = await new Promise<string>((resolve, reject) => {
        const asking = request(origin.url, tls, (response) => resolve(text(response)));
        asking.on("error", reject).end();
      });
      assert.match(answer, /"subject":"CN=client"/);
    });

    it("is verified and presented by the openssl command", async (t) => {
      if (kind.startsWith("ML-DSA") && !opensslAlgorithms.includes("ML-DSA")) {
        t.skip("this openssl command has no ML-DSA");
        return;
      }
      await openssl.write("cert.pem", chain);
      await openssl.write("key.pem", privateKey);
      await openssl.run(["x509", "-in", "cert.pem", "-noout"]);
      await openssl.run(["pkey", "-in", "key.pem", "-check", "-noout"]);
      await openssl.run(["verify", "-purpose", "sslclient", "-CAfile", "root.pem", "cert.pem"]);
      const host = `localhost:${origin.port}`;
      const pair = ["-cert", "cert.pem", "-key", "key.pem", "-CAfile", "root.pem"];
      const answer = await openssl.run(
        ["s_client", "-quiet", "-verify_return_error", "-connect", host, ...pair],
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      );
      assert.match(answer, /"subject":"CN=client"/);
    });

    it(`is ${worksInProcess(kind) ? "presented" : "refused"} by workerd's own TLS`, async () => {
      const result = await fetchInProcess({
        origin: origin.url,
        authority: authority.pem,
        chain,
        privateKey,
      });
      if (worksInProcess(kind)) {
        assert.match("answer" in result ? result.answer : result.refused, /"subject":"CN=client"/);
      } else {
        assert("refused" in result);
        assert.match(result.refused, /failed to parse private key/);
      }
    });
  });
}

it("CAs over every accepted kind of key are loaded as trust by Node and by workerd", async () => {
  const issued = await Promise.all(accepted.map((kind) => issueAuthorityKind(authority, kind)));
  const certificates = [...issued, authority.pem].join("");
  const parsed = parseUpload({ certificates, ca: true, now: new Date() });
  assert(parsed.kind === "ca");
  const { pem, key } = await issueKind(authority, "EC P-256");
  createSecureContext({ ca: parsed.bundle });
  const result = await fetchInProcess({
    origin: origin.url,
    authority: parsed.bundle,
    chain: pem,
    privateKey: key,
  });
  assert.match("answer" in result ? result.answer : result.refused, /"subject":"CN=client"/);
});

describe("a certificate over a key that TLS peers do not take is refused", () => {
  for (const [kind, code] of Object.entries(refused)) {
    it(`${kind}: ${code}`, async () => {
      const { pem, key } = await issueKind(authority, kind);
      refusal(code, () =>
        parseUpload({ certificates: pem, privateKey: key, ca: false, now: new Date() }),
      );
    });
  }
});
