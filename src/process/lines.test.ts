import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { onLines } from "./lines.ts";

test("a line ends at a line feed, and at nothing else that some take for an end", async () => {
  const text = "one\u2028two\u2029three\u0085four\u000bfive\rsix";
  assert.deepEqual(await linesOf(`${text}\n`, "\n", "crlf\r\n", "last"), [
    text,
    "",
    "crlf",
    "last",
  ]);
});

test("a character that comes in two pieces is one", async () => {
  const bytes = Buffer.from("a€b\n");
  assert.deepEqual(await linesOf(...[...bytes].map((byte) => Buffer.from([byte]))), ["a€b"]);
});

test("of a line without an end 4 MiB are kept, and the next line is whole", async () => {
  const piece = "x".repeat(1 << 20);
  const lines = await linesOf(...Array.from({ length: 9 }, () => piece), "\nnext\n");
  assert.deepEqual(
    lines.map(({ length }) => length),
    [4 << 20, 4],
  );
});

async function linesOf(...pieces: readonly (string | Buffer)[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  onLines(stream, (line) => lines.push(line));
  for (const piece of pieces) stream.write(piece);
  stream.end();
  await once(stream, "end");
  return lines;
}
