import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { accepts, decodeFor } from "./decode.ts";

test("a client reads a coding that it names, or a star, and not with a weight of nothing", () => {
  for (const [header, coding, expected] of [
    [undefined, "gzip", false],
    ["", "gzip", false],
    ["gzip, br", "br", true],
    ["GZIP;q=0.5", "gzip", true],
    ["x-gzip", "gzip", true],
    ["gzip;q=0", "gzip", false],
    ["gzip ; q=0.000, *", "gzip", false],
    ["*", "br", true],
    ["*;q=0", "br", false],
    ["identity", "gzip", false],
    [";;;,,q=0,gzip;q=x", "gzip", true],
  ] as const) {
    assert.equal(accepts(header, coding), expected, `${header} ${coding}`);
  }
});

test("what has no body, is a part, is asked for or must not be changed stays as it is", () => {
  assert.deepEqual(of("GET", 200), ["etag", 'W/"a"', "vary", "accept-encoding"]);
  for (const [method, status, accept, more] of [
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 206],
    ["GET", 304],
    ["GET", 200, "gzip"],
    ["GET", 200, undefined, ["cache-control", "private, no-transform"]],
  ] as const) {
    const unchanged = of(method, status, accept, [...(more ?? [])]);
    assert.ok(unchanged.includes("gzip"), `${method} ${status} ${accept}`);
  }
});

function of(method: string, status: number, accept?: string, more: string[] = []): string[] {
  const headers = ["Content-Encoding", "gzip", "Content-Length", "9", "ETag", '"a"', ...more];
  const request = { method, headers: { "accept-encoding": accept } } as never as IncomingMessage;
  const made = decodeFor(request, status, headers);
  assert.equal(made === undefined, headers.includes("gzip"));
  return headers;
}
