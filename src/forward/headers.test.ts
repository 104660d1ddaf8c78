import assert from "node:assert/strict";
import { test } from "node:test";
import { requestHead, responseHeaders } from "./headers.ts";

/** Fields of one hop, in the ways that clients write them. */
const HOP = [
  "TE",
  "te",
  "Expect",
  "Upgrade",
  "Trailer",
  "Keep-Alive",
  "Proxy-Connection",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Countersign-CF",
];

/** Of the same lengths as those, and no business of one hop. */
const OTHERS = [
  "dnt",
  "ab",
  "date",
  "cookie",
  "referer",
  "user-agent",
  "accept-charset",
  "if-modified-sinc",
  "if-unmodified-sin",
  "x-forwarded-server",
  "access-control-allo",
];

test("a request's fields of one hop are left out, in any case, and no other of the same length", () => {
  for (const name of [...HOP, ...HOP.map((one) => one.toUpperCase())]) {
    assert.deepEqual(requestHead([name, "x", "X-Kept", "1"]).headers, ["X-Kept", "1"], name);
    assert.deepEqual(responseHeaders({ [name]: "x", "x-kept": "1" }), ["x-kept", "1"], name);
  }
  for (const name of OTHERS) {
    assert.deepEqual(requestHead([name, "x"]).headers, [name, "x"]);
    assert.deepEqual(responseHeaders({ [name]: "x" }), [name, "x"]);
  }
});

test("the order, the case and repeated fields of a request stay", () => {
  const raw = ["X-B", "1", "x-a", "2", "X-B", "3"];
  assert.deepEqual(requestHead(raw).headers, raw);
});

test("the host is separate, and null if there is none", () => {
  const { headers, host } = requestHead(["HOST", "a.example", "x-a", "1"]);
  assert.deepEqual([host, headers], ["a.example", ["x-a", "1"]]);
  assert.equal(requestHead(["x-a", "1"]).host, null);
});

test("a request has a body if its length is not 0, or if it comes in chunks", () => {
  assert.equal(requestHead(["x-a", "1"]).hasBody, false);
  assert.equal(requestHead(["Content-Length", "0"]).hasBody, false);
  assert.equal(requestHead(["Content-Length", "1"]).hasBody, true);
  assert.deepEqual(requestHead(["Content-Length", "1"]).headers, ["Content-Length", "1"]);
  const chunked = requestHead(["Transfer-Encoding", "chunked"]);
  assert.deepEqual([chunked.hasBody, chunked.headers], [true, []], "the next hop has its own");
});

test("what the caller drops is dropped in any case, and nothing else is", () => {
  const dropped = new Set(["x-secret", "content-length"]);
  const raw = ["X-Secret", "1", "X-Kept", "2", "Content-Length", "3"];
  const head = requestHead(raw, dropped);
  assert.deepEqual(head.headers, ["X-Kept", "2"]);
  assert.equal(head.hasBody, true);
});

test("what Connection names goes, in all its fields, with spaces and in any case, but not the length", () => {
  const raw = ["connection", "close,  X-One ", "Connection", "X-TWO", "x-one", "1", "X-Two", "2"];
  assert.deepEqual(requestHead([...raw, "x-three", "3"]).headers, ["x-three", "3"]);
  const length = ["Connection", "content-length", "Content-Length", "5"];
  assert.deepEqual(requestHead(length).headers, ["Content-Length", "5"]);
  for (const usual of ["keep-alive", "close"]) {
    // Not a list of names: a field of that name would be another thing.
    assert.deepEqual(requestHead(["Connection", usual, "x-a", "1"]).headers, ["x-a", "1"]);
  }
  assert.deepEqual(
    responseHeaders({ connection: "X-One, keep-alive", "x-one": "1", "content-length": "2" }),
    ["content-length", "2"],
  );
  assert.deepEqual(responseHeaders({ connection: "close", close: "1" }), ["close", "1"]);
  assert.deepEqual(responseHeaders({ connection: "keep-alive", "x-a": "1" }), ["x-a", "1"]);
});

test("a response's fields are flat, each value of a list with its name; framing and pseudo-headers go", () => {
  const headers = {
    ":status": "200",
    "set-cookie": ["a=1", "b=2"],
    "transfer-encoding": "chunked",
    "x-gone": undefined,
    "content-length": "3",
    host: "a.example",
  };
  assert.deepEqual(responseHeaders(headers), [
    "set-cookie",
    "a=1",
    "set-cookie",
    "b=2",
    "content-length",
    "3",
    "host",
    "a.example",
  ]);
});
