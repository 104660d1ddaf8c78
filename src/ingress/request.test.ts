import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { requestTarget } from "./request.ts";

function target(url: string): readonly [authority: string, path: string] | null {
  const request = { url, headers: { host: "host.example" }, rawHeaders: [] };
  const read = requestTarget(request as unknown as IncomingMessage);
  return read && [read.authority, read.path];
}

test("a URL in the request line counts for more than Host, and its path may be left out", () => {
  for (const [url, authority, path] of [
    ["/a?b", "host.example", "/a?b"],
    ["?b", "host.example", "/?b"],
    ["http://url.example", "url.example", "/"],
    ["HTTPS://url.example:8443?b", "url.example:8443", "/?b"],
    ["http://url.example/a?b", "url.example", "/a?b"],
  ] as const) {
    assert.deepEqual(target(url), [authority, path], url);
  }
  for (const url of ["a", "*", "http://", "http://a b/", "http://url.example#a", "http://a/#b"]) {
    assert.equal(target(url), null, url);
  }
});

test("a long URL is read in the time of its length, whatever it holds", () => {
  const before = process.cpuUsage();
  for (const text of ["a", "/", "?", "a/", "/?"]) {
    assert.equal(target(`http://${text.repeat(100_000)}#`), null);
  }
  // It was 45 s of CPU time for the first.
  const { user } = process.cpuUsage(before);
  assert.ok(user < 5_000_000, `${user} µs`);
});
