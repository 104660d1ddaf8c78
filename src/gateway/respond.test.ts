import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { Failure, failures } from "../failures/failures.ts";
import type { ShownDetails } from "../failures/rendered.ts";
import { rayOf, respondWithFailure, unreadFailure } from "./respond.ts";

const failure = new Failure("origin_unreachable", {
  message: "connecting to internal.example:8443 (10.0.0.5) failed",
  facts: { address: "10.0.0.5" },
});

function bodyOf(details: ShownDetails, accept?: string): string {
  const request = new IncomingMessage(new Socket());
  if (accept !== undefined) request.headers.accept = accept;
  const response = new ServerResponse(request);
  let body = "";
  response.end = (chunk: unknown) => {
    body = String(chunk);
    return response;
  };
  respondWithFailure(failure, request, response, { details, ray: "0123456789abcdef" });
  return body;
}

test("what is for the owner is not in a body that anyone may see; code and ray are", () => {
  for (const accept of [undefined, "text/plain", "application/json"]) {
    const body = bodyOf("owner", accept);
    assert.doesNotMatch(body, /internal\.example|10\.0\.0\.5/);
    assert.match(body, /origin_unreachable/);
    assert.match(body, /0123456789abcdef/);
    assert.match(bodyOf("public", accept), /internal\.example:8443 \(10\.0\.0\.5\)/);
  }
});

test("the ray is the client's request's, where that was handed on and is one", () => {
  const request = new IncomingMessage(new Socket());
  request.headers["cf-ray"] = "0123456789abcdef";
  assert.equal(rayOf(request), "0123456789abcdef");
  request.headers["cf-ray"] = "<script>";
  assert.match(rayOf(request), /^[0-9a-f]{16}$/);
});

test("what could not be read is answered in the table's words, with its code in a header", () => {
  for (const [why, code] of [
    ["headers too large", "binding_headers_too_large"],
    ["too late", "request_timeout"],
    ["malformed", "origin_request_malformed"],
  ] as const) {
    const { status, headers, body } = unreadFailure(why);
    assert.equal(status, failures[code].status);
    assert.equal((headers as Record<string, unknown>)["countersign-failure"], code);
    assert.ok(body.includes(code));
  }
});

test("a failure's head has its status, title, code and ray", () => {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const ray = "0123456789abcdef";
  const said: unknown[] = [];
  response.writeHead = (...args: unknown[]) => {
    said.push(...args);
    return response;
  };
  respondWithFailure(failure, response.req, response, { details: "owner", ray });
  const [status, title, headers] = said as [number, string, Record<string, unknown>];
  assert.deepEqual([status, title], [failure.entry.status, failure.entry.title]);
  assert.equal(headers["countersign-failure"], "origin_unreachable");
  assert.equal(headers["countersign-ray"], ray);
  assert.match(String(headers["content-type"]), /json/);
});

test("a ray with the name of a data centre is one, with more or less it is none", () => {
  const request = new IncomingMessage(new Socket());
  for (const [sent, isOne] of [
    ["0123456789abcdef-FRA", true],
    ["0123456789abcdef-FR", false],
    ["x0123456789abcdef", false],
    ["0123456789abcdef-FRAx", false],
    ["0123456789ABCDEF", false],
  ] as const) {
    request.headers["cf-ray"] = sent;
    assert.equal(rayOf(request) === sent, isOne, sent);
  }
});
