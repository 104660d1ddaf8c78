import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { writeLine } from "./io.ts";
import { writeTable } from "./table.ts";

const evil = "a\n\u001b[31mroot\u001b[2J\u009b2J\r\u202eb\u2028c\u0085\td";

test("a name from others neither moves the cursor nor starts a line of a table", async () => {
  const stdout = new PassThrough();
  const io = { stdout, stderr: stdout, env: {}, cwd: "/" };
  writeTable(io, ["name", "state"], [[evil, "active"]]);
  stdout.end();
  const lines = (await text(stdout)).split("\n");
  assert.equal(lines.length, 3, "a line of names, one row, and the end");
  assert.match(lines[1]!, /^a\\u000a\\u001b\[31mroot.*\\u0009d {2}active$/);
  assert.doesNotMatch(lines.join(""), controls);
});

test("a line that is printed keeps its colours and its ends, and nothing else that moves a cursor", async () => {
  const stream = new PassThrough();
  writeLine(stream, `\u001b[31mred\u001b[39m\ttwo\nlines ${evil}`);
  stream.end();
  const written = await text(stream);
  assert.ok(written.startsWith("\u001b[31mred\u001b[39m\ttwo\nlines a\n"));
  assert.match(written, /\\u001b\[2J\\u009b2J\\u000d\\u202e/);
  assert.doesNotMatch(stripVTControlCharacters(written).replaceAll(/[\n\t]/g, ""), controls);
});

const controls = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
