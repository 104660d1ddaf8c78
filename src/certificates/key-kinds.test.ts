import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { it } from "node:test";
import { startOrigin } from "../../test/helpers/origin.ts";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { isSameKey } from "./key-kinds.ts";

const keys: readonly KeyObject[] = [
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey,
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey,
  generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey,
  generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey,
  generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey,
  generateKeyPairSync("ed25519").publicKey,
  generateKeyPairSync("ml-dsa-44").publicKey,
];

it("a key is the same as its copy and as no other", () => {
  for (const [index, one] of keys.entries()) {
    for (const [otherIndex, other] of keys.entries()) {
      const copy = createPublicKey(other.export({ format: "pem", type: "spki" }));
      assert.equal(isSameKey(one, copy), index === otherIndex);
    }
  }
});

/**
 * OpenSSL keeps errors in a queue for the thread, and Node takes what another call left there for an
 * error of a connection. `KeyObject.equals` leaves one for keys of two kinds.
 */
it("comparing keys of different kinds breaks no TLS connection of the process", async () => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  const { pem, key } = await authority.issue({ subject: "CN=client" });
  const agent = new Agent({ keepAlive: true, ca: authority.pem, cert: pem, key });
  const ask = async (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asking = request(origin.url, { agent }, (response) => resolve(text(response)));
      asking.on("error", reject).end();
    });
  await ask();
  for (const one of keys) {
    for (const other of keys) {
      const asking = ask();
      isSameKey(one, other);
      assert.match(await asking, /CN=client/);
    }
  }
  agent.destroy();
});
