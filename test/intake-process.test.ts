import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pino } from "pino";
import { keyPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import type { HeldUpload } from "../src/certificates/key-intake.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { ProcessIntake } from "../src/intake/process-intake.ts";

let authority: TestAuthority;
const folder = mkdtempSync(join(tmpdir(), "countersign-intake-"));
before(async () => (authority = await makeAuthority("Intake CA")));
after(() => rmSync(folder, { recursive: true }));

const place = keyPlace({ accountId: "a", certificateId: "c", version: 1 });
const terms = { ca: false, now: new Date() };

function open(more: { readonly uploads?: number } = {}): ProcessIntake {
  const log = pino({ level: "silent" });
  return new ProcessIntake({
    workingDirectory: folder,
    processes: null,
    log,
    idle: 60_000,
    ...more,
  });
}

async function* inChunks(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("many uploads at once are judged and sealed separately, also across several processes", async () => {
  await using intake = open({ uploads: 3 });
  const keyring = new Keyring(Buffer.alloc(32, 1));
  const issued = await Promise.all(
    [1, 2, 3, 4, 5, 6, 7].map((n) => authority.issue({ subject: `CN=client ${n}` })),
  );
  await Promise.all(
    issued.map(async ({ chain, key }, index) => {
      const body = JSON.stringify({ name: `n${index}`, certificates: chain, private_key: key });
      using upload = await intake.receive(inChunks(body, 100 + index));
      assert.deepEqual(upload.fields, { name: `n${index}`, certificates: "", private_key: "" });
      const judged = await upload.judge(terms);
      assert.ok(judged.kind === "leaf" && !("privateKey" in judged));
      assert.equal(judged.facts.subject, `CN=client ${index + 1}`);
      const sealed = keyring.wrap(place, await judged.sealKey(place));
      assert.equal(keyring.unseal(place, sealed), key);
    }),
  );
});

test("a key that is sealed as it is judged opens at its place alone, once, and is gone with its upload", async () => {
  await using intake = open();
  const keyring = new Keyring(Buffer.alloc(32, 1));
  const other = keyPlace({ accountId: "a", certificateId: "c", version: 2 });
  const { chain, key } = await authority.issue({ subject: "CN=ahead" });
  const body = JSON.stringify({ certificates: chain, private_key: key });
  const judge = async (upload: HeldUpload) => {
    const judged = await upload.judge(terms, place);
    assert.ok(judged.kind === "leaf");
    assert.equal(JSON.stringify(judged).includes("PRIVATE KEY"), false);
    return judged;
  };
  {
    using upload = await intake.receive(inChunks(body, 100));
    const judged = await judge(upload);
    await assert.rejects(judged.sealKey(other), { code: "internal" });
    assert.equal(keyring.unseal(place, keyring.wrap(place, await judged.sealKey(place))), key);
    await assert.rejects(judged.sealKey(place), { code: "internal" });
    // The intake has let go of it.
    await assert.rejects(upload.judge(terms), /there is no upload/);
  }
  const upload = await intake.receive(inChunks(body, 100));
  const judged = await judge(upload);
  upload[Symbol.dispose]();
  await assert.rejects(judged.sealKey(place), { code: "internal" });
});

test("the bytes that were handed over are wiped", async () => {
  await using intake = open();
  const { chain, key } = await authority.issue({ subject: "CN=wiped" });
  const pair = { certificate: Buffer.from(chain), key: Buffer.from(key) };
  using upload = await intake.receivePair(pair);
  assert.equal((await upload.judge(terms)).kind, "leaf");
  assert.ok(Buffer.concat([pair.certificate, pair.key]).every((byte) => byte === 0));
});

test("text that is not JSON is refused, and the intake keeps running", async () => {
  await using intake = open();
  await assert.rejects(intake.receive(inChunks("-----BEGIN", 4)), { code: "body_not_json" });
  using upload = await intake.receive(inChunks("[1]", 1));
  assert.deepEqual(upload.fields, []);
});
