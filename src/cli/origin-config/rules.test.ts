import assert from "node:assert/strict";
import { test } from "node:test";
import { callerFacts, decide, parsePolicy, workerSpiffeId } from "countersign-origin";
import { serverRules, type Sight } from "./rules.ts";

const envoy: Sight = { server: "Envoy", worker: "uri", facts: ["uri"], names: "raw" };
const nginx: Sight = { server: "nginx", worker: "subject", facts: ["subject"], names: "raw" };

const environments = [null, "staging", "stage", "pré-prod", "environment"];

/** Whether the rule's pattern matches the whole ID. */
function lets(rule: object, spiffeId: string): boolean {
  const policy = parsePolicy({ allow: [rule] });
  return serverRules(policy.allow, envoy, "acme").some(({ caller }) =>
    caller.every(
      ({ pattern, not }) => new RegExp(`^(?:${pattern})$`).test(spiffeId) !== (not ?? false),
    ),
  );
}

test("a server's configuration has the environments of the policy", () => {
  for (const rule of [
    { worker: "orders" },
    { worker: "orders", environment: "staging" },
    { worker: "*", environment: ["staging", "pré-prod"] },
    { environment: "stag*" },
    { environment: "*" },
    { spiffeId: "spiffe://example.org/account/acme/worker/orders" },
    { spiffeId: "spiffe://example.org/account/acme/worker/orders**" },
  ]) {
    for (const environment of environments) {
      const spiffeId = workerSpiffeId({
        trustDomain: "example.org",
        account: "acme",
        worker: "orders",
        environment,
      });
      const facts = callerFacts({
        subject: "",
        issuer: "",
        serialNumber: "",
        fingerprint: "",
        uris: [spiffeId],
        notBefore: null,
        notAfter: null,
      });
      const { allowed } = decide(parsePolicy({ allow: [rule] }), facts, {
        method: "GET",
        path: "/",
      });
      assert.equal(lets(rule, spiffeId), allowed, `${JSON.stringify(rule)} of ${spiffeId}`);
    }
  }
});

test("a server that sees the subject alone is given no rule by environment", () => {
  for (const rule of [
    { worker: "orders", environment: "staging" },
    { spiffeId: "spiffe://example.org/account/acme/worker/orders/environment/staging" },
  ]) {
    const { allow } = parsePolicy({ allow: [rule] });
    assert.throws(() => serverRules(allow, nginx, "acme"), { code: "origin_config_inexpressible" });
  }
});
