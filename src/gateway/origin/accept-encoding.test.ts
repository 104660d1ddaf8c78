import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { mayBeCompressed } from "./accept-encoding.ts";

function may(method: string, ...rawHeaders: string[]): boolean {
  return mayBeCompressed({ method, rawHeaders } as IncomingMessage);
}

test("a request that says nothing of encodings may be answered compressed", () => {
  assert.equal(may("GET"), true);
  assert.equal(may("POST", "accept", "*/*", "x-accept-encoding", "gzip", "rangE-", "1"), true);
});

test("a Worker's own word counts, and so does a range, however they are written", () => {
  assert.equal(may("GET", "a", "b", "Accept-Encoding", "identity"), false);
  assert.equal(may("GET", "accept-encoding", ""), false);
  assert.equal(may("GET", "a", "b", "Range", "bytes=0-1"), false);
});

test("what only has the length, or the value, of such a name is none", () => {
  assert.equal(may("GET", "accept-language", "de", "x-acc", "1"), true);
  assert.equal(may("GET", "a", "range", "b", "accept-encoding"), true);
});

test("HEAD asks for the length of the bytes as they are", () => {
  assert.equal(may("HEAD"), false);
});
