import assert from "node:assert/strict";
import { before, test } from "node:test";
import { makeAuthority } from "../../../test/helpers/pki.ts";
import type { ServedCertificate } from "../../contract/hosts.ts";
import { LocalLeaves } from "./local-leaves.ts";

let pair: ServedCertificate;
before(async () => {
  const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=localhost" });
  pair = { chain, key };
});

test("a name that somebody answers at is signed for once, until the CA's own certificate is another", async () => {
  const asked: string[] = [];
  const ask = async (name: string) => (asked.push(name), pair);
  const leaves = new LocalLeaves(ask, (host) => host === "a.localhost");
  const both = await Promise.all([leaves.find("a.localhost"), leaves.find("a.localhost")]);
  assert.equal(both[0], both[1]);
  assert.equal(both[0]?.chain, pair.chain);
  leaves.forget();
  assert.notEqual(await leaves.find("a.localhost"), both[0]);
  assert.deepEqual(asked, ["a.localhost", "a.localhost"]);
});

test("nobody is asked for what strangers make up", () => {
  const leaves = new LocalLeaves(assert.fail, (host) => host === "a.localhost");
  for (const name of ["stranger.localhost", "localhost", "a.b.localhost", "A.localhost", "", "."]) {
    assert.equal(leaves.find(name), null, name);
  }
});

test("where it cannot be had, the default certificate is presented, and the next handshake asks again", async () => {
  const answers = [Promise.reject(new Error("away")), Promise.resolve(null)];
  const leaves = new LocalLeaves(
    () => answers.shift()!,
    () => true,
  );
  assert.equal(await leaves.find("a.localhost"), null);
  assert.equal(await leaves.find("a.localhost"), null);
  assert.equal(answers.length, 0);
  // The CA does not speak for it, which stays so.
  assert.equal(await leaves.find("a.localhost"), null);
});
