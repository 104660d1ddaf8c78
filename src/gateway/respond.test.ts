import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { Failure } from "../failures/failures.ts";
import type { ShownDetails } from "../failures/rendered.ts";
import { rayOf, respondWithFailure } from "./respond.ts";

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
