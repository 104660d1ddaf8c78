import assert from "node:assert/strict";
import { test } from "node:test";
import { formIn, formType } from "./body.ts";

const MIB = 1024 * 1024;
const HEAD = 'content-disposition: form-data; name="a"; filename="a"\r\n';

function typeOf(body: Buffer, boundary = "b"): string {
  const type = `multipart/form-data; boundary=${boundary}`;
  return formType(
    new Request("http://a/", { method: "POST", headers: { "content-type": type } }),
    body,
  );
}

function form(...parts: readonly string[]): Buffer<ArrayBuffer> {
  return Buffer.from(`${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`);
}

async function partsOf(body: Buffer<ArrayBuffer>): Promise<number> {
  return [...(await formIn(body, typeOf(body)))].length;
}

test("a form has 1,000 parts at most, each counted where it begins a line", async () => {
  const part = `${HEAD}\r\nx`;
  assert.equal(await partsOf(form(...Array.from({ length: 1000 }, () => part))), 1000);
  const many = form(...Array.from({ length: 1001 }, () => part));
  assert.throws(() => typeOf(many), { code: "too_many_parts" });
  const before = Buffer.concat([Buffer.from("preamble\r\n"), many]);
  assert.throws(() => typeOf(before), { code: "too_many_parts" });
  assert.match(typeOf(Buffer.from("no part")), /boundary=b$/);
});

test("a form whose boundary is at every byte of a line is looked at once", (t) => {
  const looks = t.mock.method(Buffer.prototype, "indexOf");
  const body = Buffer.concat([form(`${HEAD}\r\n`), Buffer.alloc(MIB, "-")]);
  typeOf(body, "-");
  typeOf(Buffer.concat([body, Buffer.alloc(MIB, "--b")]));
  assert.ok(looks.mock.callCount() < 20, `${looks.mock.callCount()} looks`);
});

test("the heads of a form's parts are 1 MiB together at most, in however many parts", async () => {
  const field = "a: b\r\n";
  const some = HEAD + field.repeat(10_000);
  assert.equal(await partsOf(form(`${some}\r\nx`, `${some}\r\nx`)), 2);
  for (const body of [
    form(`${HEAD}${field.repeat(200_000)}\r\nx`),
    form(...Array.from({ length: 40 }, () => `${some}\r\nx`)),
  ]) {
    assert.throws(() => typeOf(body), { code: "body_not_multipart", message: /heads/ });
  }
  const large = form(`${HEAD}\r\n${"x".repeat(3 * MIB)}`);
  assert.equal(await partsOf(large), 1);
  // What follows the last part is none.
  assert.equal(await partsOf(Buffer.concat([large, Buffer.alloc(2 * MIB, "x")])), 1);
});
