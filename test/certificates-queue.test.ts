import assert from "node:assert/strict";
import { before, it } from "node:test";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { parseUpload } from "../src/certificates/parse.ts";
import { Failure } from "../src/failures.ts";
import { issueKind, type KeyedCertificate } from "./helpers/keys.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

let authority: TestAuthority;
let issued: readonly KeyedCertificate[];

before(async () => {
  authority = await makeAuthority();
  const kinds = ["RSA 2048", "RSA-PSS 2048", "EC P-256", "EC P-384", "Ed25519", "ML-DSA-44"];
  issued = await Promise.all(kinds.map((kind) => issueKind(authority, kind)));
});

/**
 * OpenSSL keeps errors in a queue for the thread, and Node takes what another call left there for an
 * error of a connection: `KeyObject.equals` on keys of two kinds does that.
 */
it("a refused upload breaks no TLS connection of the same process", async () => {
  await using origin = await startOrigin({ authority });
  const client = await authority.issue({ subject: "CN=client" });
  const agent = new Agent({
    keepAlive: true,
    ca: authority.pem,
    cert: client.pem,
    key: client.key,
  });
  const ask = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asking = request(origin.url, { agent }, (response) => resolve(text(response)));
      asking.on("error", reject).end();
    });
  await ask();
  for (const { pem } of issued) {
    for (const { key } of issued) {
      const asking = ask();
      for (const change of [pem, pem.replace(/[A-Za-z0-9](?=[^\n]*\n-----END)/, "x")])
        tryUpload(change, key);
      assert.match(await asking, /CN=client/);
    }
  }
  agent.destroy();
});

function tryUpload(certificates: string, privateKey: string): void {
  try {
    parseUpload({ certificates, privateKey, ca: false, now: new Date() });
  } catch (error) {
    assert(error instanceof Failure);
  }
}
