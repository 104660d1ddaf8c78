import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as fc from "fast-check";
import { anyText } from "../../../test/helpers/any-text.ts";
import { callerFacts, type CallerFacts } from "./caller.ts";
import { decide } from "./decide.ts";
import { workerSpiffeId } from "./identity.ts";
import { criteria, parsePolicy, PolicyError, type Policy } from "./policy.ts";

const fingerprint = "ab".repeat(32);

function worker(name: string, account = "acme"): CallerFacts {
  return callerFacts({
    subject: `CN=${name},O=${account}`,
    issuer: "CN=Countersign identities,O=acme",
    serialNumber: "01",
    fingerprint,
    uris: [
      workerSpiffeId({ trustDomain: "example.org", account, worker: name, environment: null }),
    ],
    notBefore: null,
    notAfter: null,
  });
}

function answer(policy: Policy | null, caller: CallerFacts, method: string, path: string): string {
  return decide(policy, caller, { method, path }).code;
}

const seed = parsePolicy({
  allow: [
    { worker: ["a", "b"], account: "acme", methods: ["GET", "POST"], paths: ["/*"] },
    { worker: "c", account: "acme", methods: ["GET"], paths: ["/*"] },
  ],
});

test("A and B write, C only reads", () => {
  assert.equal(answer(seed, worker("a"), "POST", "/rows"), "allowed");
  assert.equal(answer(seed, worker("b"), "POST", "/rows"), "allowed");
  assert.equal(answer(seed, worker("c"), "GET", "/rows?x=1"), "allowed");
  assert.equal(answer(seed, worker("c"), "HEAD", "/rows"), "allowed");
  assert.equal(answer(seed, worker("c"), "POST", "/rows"), "method_not_allowed");
  assert.equal(answer(seed, worker("d"), "GET", "/rows"), "caller_not_named");
  assert.equal(answer(seed, worker("a", "other"), "GET", "/rows"), "caller_not_named");
});

test("a refusal says which rule was missing", () => {
  const { reason } = decide(seed, worker("c"), { method: "POST", path: "/rows" });
  assert.equal(reason, 'Worker "c" of account "acme" may GET, and no rule lets it POST');
});

test("nothing is allowed without a policy, or by an empty one", () => {
  assert.equal(answer(null, worker("a"), "GET", "/"), "policy_missing");
  assert.equal(answer(parsePolicy({ allow: [] }), worker("a"), "GET", "/"), "policy_empty");
});

test("all criteria of a rule have to hold, each alone decides", () => {
  const caller = worker("a");
  const facts: Record<(typeof criteria)[number], string> = {
    worker: "a",
    account: "acme",
    environment: "production",
    spiffeId: "spiffe://example.org/account/acme/worker/*",
    subject: "CN=a,O=acme",
    issuer: "CN=Countersign *,O=acme",
    fingerprint: fingerprint.toUpperCase().replaceAll(/(..)(?=.)/g, "$1:"),
  };
  for (const criterion of criteria) {
    const right = parsePolicy({ allow: [{ [criterion]: facts[criterion] }] });
    const expected = criterion === "environment" ? "caller_not_named" : "allowed";
    assert.equal(answer(right, caller, "GET", "/"), expected, criterion);
    const wrongValue =
      criterion === "fingerprint"
        ? "cd".repeat(32)
        : criterion === "spiffeId"
          ? "spiffe://x/y"
          : "z";
    const wrong = parsePolicy({ allow: [{ worker: "a", [criterion]: wrongValue }] });
    assert.equal(answer(wrong, caller, "GET", "/"), "caller_not_named", criterion);
  }
});

test("a star stays within its segment, two do not", () => {
  const one = parsePolicy({ allow: [{ spiffeId: "spiffe://example.org/*/worker/a" }] });
  const two = parsePolicy({ allow: [{ spiffeId: "spiffe://example.org/**/a" }] });
  assert.equal(answer(one, worker("a"), "GET", "/"), "caller_not_named");
  assert.equal(answer(two, worker("a"), "GET", "/"), "allowed");
  const dots = parsePolicy({ allow: [{ subject: "CN=.,O=acm*" }] });
  assert.equal(answer(dots, worker("a"), "GET", "/"), "caller_not_named");
});

test("paths match whole or by what they begin with, never by another reading", () => {
  const policy = parsePolicy({
    allow: [{ worker: "a", paths: ["/orders", "/public/*", "/a%20b/*"] }],
  });
  const paths: Record<string, string> = {
    "/orders": "allowed",
    "/orders?id=1": "allowed",
    "/%6frders": "allowed",
    "/public/x": "allowed",
    "/a%20b/c": "allowed",
    "https://host/orders": "allowed",
    "/orders/": "path_not_allowed",
    "/Orders": "path_not_allowed",
    "/public": "path_not_allowed",
    "/public/../orders": "path_ambiguous",
    "/public/%2e%2e/admin": "path_ambiguous",
    "/public/..;/admin": "path_ambiguous",
    "/public/..%2fadmin": "path_ambiguous",
    "/public//admin": "path_ambiguous",
    "/public/..\\admin": "path_ambiguous",
    "/public/%252e%252e/admin": "path_ambiguous",
    "/public/%ff": "path_ambiguous",
    "*": "path_ambiguous",
  };
  for (const [path, code] of Object.entries(paths))
    assert.equal(answer(policy, worker("a"), "GET", path), code, path);
  const all = parsePolicy({ allow: [{ worker: "a", paths: ["/*"] }] });
  assert.equal(answer(all, worker("a"), "GET", "/public/../orders"), "allowed");
});

test("a certificate with two URIs has no identity", () => {
  const { certificate } = worker("a");
  const caller = callerFacts({
    ...certificate,
    uris: [...certificate.uris, "spiffe://example.org/other"],
  });
  assert.equal(caller.worker, null);
  assert.equal(answer(seed, caller, "GET", "/"), "caller_not_named");
});

test("a policy that cannot be meant is refused, with where and why", () => {
  const wrong: [unknown, RegExp][] = [
    ["{", /not JSON/],
    [[], /an object/],
    [{}, /"allow" is a list/],
    [{ allow: [], deny: [] }, /"deny" is nothing/],
    [{ allow: [{}] }, /allow\[0\] names no caller/],
    [{ allow: [{ methods: ["GET"] }] }, /names no caller/],
    [{ allow: [{ worker: [] }] }, /allow\[0\]\.worker is empty/],
    [{ allow: [{ worker: "a", method: "GET" }] }, /allow\[0\]\.method is nothing that a rule has/],
    [{ allow: [{ worker: "a", methods: "G T" }] }, /not an HTTP method/],
    [
      { allow: [{ worker: "a", paths: ["orders"] }] },
      /allow\[0\]\.paths\[0\]: "orders" is not a path/,
    ],
    [{ allow: [{ worker: "a", paths: ["/a/*/b"] }] }, /not a path/],
    [{ allow: [{ worker: 5 }] }, /is not a text/],
    [{ allow: [{ fingerprint: "abc" }] }, /64 hexadecimal/],
    [{ allow: [{ spiffeId: "a" }] }, /begins with spiffe/],
  ];
  for (const [policy, message] of wrong) {
    assert.throws(
      () => parsePolicy(policy),
      (error) => error instanceof PolicyError && message.test(error.message),
      String(message),
    );
  }
});

test("deciding never throws, and lets in nobody that no rule names", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), anyText, (name, method, path) => {
      const caller = callerFacts({ ...worker("x").certificate, uris: [name], subject: name });
      assert.equal(decide(seed, caller, { method, path }).allowed, false);
    }),
  );
});

test("the published JSON Schema names the same fields as the code", () => {
  const schema = JSON.parse(
    readFileSync(new URL("../policy.schema.json", import.meta.url), "utf8"),
  ) as {
    $defs: { rule: { properties: object } };
  };
  assert.deepEqual(
    Object.keys(schema.$defs.rule.properties).toSorted(),
    [...criteria, "methods", "paths"].toSorted(),
  );
});
