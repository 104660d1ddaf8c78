import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "./failures.ts";
import { newRay, renderFailure, type Rendering, type ShownDetails } from "./rendered.ts";

const failure = new Failure("origin_unreachable", {
  message: "connecting to internal.example:8443 (10.0.0.5) failed",
  facts: { address: "10.0.0.5" },
});
const rendering: Rendering = {
  accept: undefined,
  otherwise: "text",
  details: "public",
  ray: "0123456789abcdef",
};

test("JSON where it is asked, text where that is, else what the reader is likely to be", () => {
  for (const otherwise of ["json", "text"] as const) {
    assert.equal(type("application/problem+json, text/html", otherwise), "application/json");
    assert.equal(type("text/html,*/*", otherwise), "text/plain; charset=utf-8");
  }
  assert.equal(type("*/*", "json"), "application/json");
  assert.equal(type(undefined, "text"), "text/plain; charset=utf-8");
});

test("the fields are the same in every rendering", () => {
  const all = ["code", "number", "title", "message", "cause", "fix", "side", "ray"];
  assert.deepEqual(fields(new Failure("worker_unavailable"), "public"), all);
  assert.deepEqual(fields(failure, "public"), ["address", ...all]);
  assert.deepEqual(fields(failure, "owner"), ["code", "number", "title", "side", "ray"]);
});

function type(accept: string | undefined, otherwise: "json" | "text"): unknown {
  return renderFailure(failure, { ...rendering, accept, otherwise }).headers["content-type"];
}

function fields(of: Failure, details: ShownDetails): string[] {
  const { body } = renderFailure(of, { ...rendering, otherwise: "json", details });
  return Object.keys((JSON.parse(body) as { error: object }).error);
}

test("no two requests have the same ray, also when more are drawn than at once", () => {
  const rays = Array.from({ length: 2_000 }, newRay);
  assert.equal(new Set(rays).size, rays.length);
  assert.deepEqual(
    rays.filter((ray) => !/^[0-9a-f]{16}$/.test(ray)),
    [],
  );
});
