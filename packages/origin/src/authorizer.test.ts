import assert from "node:assert/strict";
import test from "node:test";
import { Authorizer, isRefusal } from "./authorizer.ts";
import { callerFacts } from "./caller.ts";
import { parsePolicy, type Policy } from "./policy.ts";

const reader = parsePolicy({ allow: [{ worker: "a", methods: ["GET"] }] });
const writer = parsePolicy({ allow: [{ worker: "a" }] });

/** The facts of one connection: the same object at each request. */
function connection() {
  return callerFacts({
    subject: "CN=a,O=acme",
    issuer: "CN=acme",
    serialNumber: "01",
    fingerprint: "ab".repeat(32),
    uris: ["spiffe://example.org/account/acme/worker/a"],
    notBefore: null,
    notAfter: null,
  });
}

for (const dryRun of [false, true]) {
  test(`each request of a connection is judged by the policy in force, and counted${dryRun ? ", with dryRun too" : ""}`, () => {
    const source: { policy: Policy | null } = { policy: reader };
    const authorizer = new Authorizer(source, { dryRun, log: () => {} });
    const facts = connection();
    const is = (method: string): string => {
      const judged = authorizer.judge(facts, { method, path: "/orders/1" });
      return isRefusal(judged) ? judged.code : (judged?.worker ?? "nobody");
    };
    const or = (code: string): string => (dryRun ? "a" : code);
    const answers = ["POST", "GET", "GET", "POST"].map(is);
    source.policy = writer;
    answers.push(is("POST"), is("POST"));
    source.policy = null;
    answers.push(is("GET"));
    const refused = or("method_not_allowed");
    assert.deepEqual(answers, [refused, "a", "a", refused, "a", "a", or("policy_missing")]);
    const counts = authorizer.decisions().map(({ code, count }) => [code, count]);
    assert.deepEqual(counts, [
      ["method_not_allowed", 2],
      ["allowed", 4],
      ["policy_missing", 1],
    ]);
  });
}

test("a caller that a handler gets cannot be changed for the next request of its connection", () => {
  const authorizer = new Authorizer(writer);
  const facts = connection();
  const judge = (): object | null => authorizer.judge(facts, { method: "GET", path: "/" });
  const first = judge()!;
  assert.throws(() => Object.assign(first, { worker: "b" }), TypeError);
  assert.equal((judge() as { worker?: string }).worker, "a");
});
