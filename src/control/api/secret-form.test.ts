import assert from "node:assert/strict";
import { test } from "node:test";
import { intakeHere } from "../../certificates/upload-text.ts";
import { secretPlace } from "../../keys/places.ts";
import { Keyring } from "../../keys/seal.ts";
import { readSecretForm, type SecretForm } from "./secret-form.ts";

const place = secretPlace({ accountId: "a", scriptName: "s", versionId: "v", name: "N" });
const keyring = new Keyring(Buffer.alloc(32, 1));

/** Passes a body in chunks, as a request does. The reader wipes them. */
async function read(bytes: Buffer, type: string, size = 7): Promise<SecretForm & { all: Buffer }> {
  const all = Buffer.from(bytes);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
  }
  const headers = { "content-type": type };
  const request = new Request("http://localhost/", { method: "PUT", headers });
  return { ...(await readSecretForm(request, chunks(), intakeHere)), all };
}

async function bytesOf(form: FormData): Promise<{ bytes: Buffer; type: string }> {
  const response = new Response(form);
  const type = response.headers.get("content-type")!;
  return { bytes: Buffer.from(await response.arrayBuffer()), type };
}

const metadata = {
  bindings: [
    { name: "S", type: "secret_text", text: "it's a ☃ secret" },
    { name: "P", type: "plain_text", text: "plain" },
    { name: "E", type: "secret_text", text: "" },
  ],
  text: "outside",
};

for (const [how, value] of [
  ["a field", JSON.stringify(metadata)],
  ["a file", new File([JSON.stringify(metadata, null, 2)], "metadata.json")],
] as const) {
  test(`a secret in the metadata is not in the form that is read, and seals as it was: ${how}`, async () => {
    const form = new FormData();
    form.set("index.js", new File(["export default 'secret_text';\r\n\r\n--x"], "index.js"));
    form.set("metadata", value);
    const { bytes, type } = await bytesOf(form);
    const { body, texts, all } = await read(bytes, type);
    const told = body.get("metadata")!;
    const text = typeof told === "string" ? told : await told.text();
    const { bindings, ...rest } = JSON.parse(text) as typeof metadata;
    assert.doesNotMatch(text, /it's/);
    assert.deepEqual(rest, { text: "outside" });
    assert.deepEqual([bindings[1]!.text, bindings[2]!.text], ["plain", ""]);
    const sealed = texts.seal(keyring, place, bindings[0]!.text);
    assert.equal(keyring.unseal(place, sealed), "it's a ☃ secret");
    assert.equal(
      await (body.get("index.js") as File).text(),
      "export default 'secret_text';\r\n\r\n--x",
    );
    assert.ok(!all.includes("it's"), "what was read is wiped");
  });
}

test("a form without a secret is as it was, whatever it says elsewhere", async () => {
  const form = new FormData();
  form.set("metadata", `{"bindings":[]}`);
  form.set("settings2", `{"type":"secret_text","text":"not ours"}`);
  const { bytes, type } = await bytesOf(form);
  const { body } = await read(bytes, type);
  assert.deepEqual([...body], [...form]);
});

test("metadata that is no JSON is refused by who reads it, and is not there", async () => {
  const form = new FormData();
  form.set("metadata", `{"type": "secret_text", "text": "hunter2"`);
  const { bytes, type } = await bytesOf(form);
  const { body } = await read(bytes, type);
  assert.equal(body.get("metadata"), "{");
});

test("a form that is cut off, has no end, or lies of its boundary is refused, and nothing hangs", async () => {
  const form = new FormData();
  form.set("metadata", JSON.stringify(metadata));
  form.set("settings", JSON.stringify(metadata));
  const { bytes, type } = await bytesOf(form);
  let refused = 0;
  for (let end = 0; end < bytes.length - 2; end += 11) {
    await read(bytes.subarray(0, end), type).catch((error: { readonly code?: string }) => {
      assert.equal(error.code, "body_not_multipart");
      refused++;
    });
  }
  assert.ok(refused > 50);
  await assert.rejects(read(bytes, "multipart/form-data"), { code: "body_not_multipart" });
  await assert.rejects(read(bytes, "text/plain"), { code: "body_not_multipart" });
});

test("two parts of one name are both the intake's, and not any number of them", async () => {
  const form = new FormData();
  form.append("metadata", JSON.stringify(metadata));
  form.append("metadata", JSON.stringify(metadata));
  const { bytes, type } = await bytesOf(form);
  const { body } = await read(bytes, type, 64);
  for (const part of body.getAll("metadata")) assert.doesNotMatch(part as string, /it's/);
  for (let more = 0; more < 3; more++) form.append("settings", JSON.stringify(metadata));
  const many = await bytesOf(form);
  await assert.rejects(read(many.bytes, many.type), { code: "too_many_parts" });
});
