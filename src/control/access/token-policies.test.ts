import assert from "node:assert/strict";
import { test } from "node:test";
import { refusal } from "../../../test/helpers/refusal.ts";
import type { TokenRow } from "../../store/schema.ts";
import { permissionGroups } from "./permission-groups.ts";
import {
  accountInPolicies,
  policies,
  readPolicies,
  type SentPolicy,
  shownPolicies,
} from "./token-policies.ts";

const ACCOUNT = "a".repeat(32);
const OTHER = "b".repeat(32);
const account = `com.cloudflare.api.account.${ACCOUNT}`;

function group(name: string): string {
  return permissionGroups.find((one) => one.name === name)!.id;
}

const scripts = group("Workers Scripts Write");
const routes = group("Workers Routes Write");

function policy(resources: Record<string, unknown>, ...groups: string[]): SentPolicy {
  return {
    effect: "allow",
    permission_groups: (groups.length > 0 ? groups : [scripts]).map((id) => ({ id })),
    resources,
  };
}

test("policies come to scopes, each once, and are shown with their groups' names", () => {
  const zones = { "com.cloudflare.api.account.zone.*": "*" };
  const granted = readPolicies(
    [policy({ [account]: "*" }), policy(zones, routes, scripts)],
    ACCOUNT,
  );
  assert.deepEqual(granted.scopes, ["workers_scripts:write", "workers_routes:write"]);
  assert.deepEqual(
    granted.policies.map(({ effect, permission_groups: groups, resources }) => ({
      effect,
      groups,
      resources,
    })),
    [
      {
        effect: "allow",
        groups: [{ id: scripts, name: "Workers Scripts Write" }],
        resources: { [account]: "*" },
      },
      {
        effect: "allow",
        groups: [
          { id: routes, name: "Workers Routes Write" },
          { id: scripts, name: "Workers Scripts Write" },
        ],
        resources: zones,
      },
    ],
  );
});

test("each policy has its own id, the same at each reading", () => {
  const twice = [policy({ [account]: "*" }), policy({ [account]: "*" })];
  const ids = readPolicies(twice, ACCOUNT).policies.map(({ id }) => id);
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
  assert.notEqual(ids[0], ids[1]);
  assert.deepEqual(
    readPolicies(twice, ACCOUNT).policies.map(({ id }) => id),
    ids,
  );
});

test("the token's account, any account, every zone and a person are what a policy may be about", () => {
  for (const resources of [
    { [account]: "*" },
    { "com.cloudflare.api.account.*": "*" },
    { [account]: { "com.cloudflare.api.account.zone.*": "*" } },
    { "com.cloudflare.api.account.zone.*": "*" },
    { "com.cloudflare.api.user.x": "*" },
  ]) {
    assert.deepEqual(readPolicies([policy(resources)], ACCOUNT).scopes, ["workers_scripts:write"]);
  }
});

test("another account is not permitted, even beside a permitted one", () => {
  const other = `com.cloudflare.api.account.${OTHER}`;
  for (const resources of [{ [other]: "*" }, { [account]: "*", [other]: "*" }]) {
    refusal("not_permitted", () => readPolicies([policy(resources)], ACCOUNT));
  }
});

test("a denial, an unknown group, a single zone and anything less than all are refused by name", () => {
  const deny: SentPolicy = { ...policy({ [account]: "*" }), effect: "deny" };
  refusal(
    "token_policy_unsupported",
    () => readPolicies([deny], ACCOUNT),
    /a policy of effect deny is/,
  );
  const unknown = policy({ [account]: "*" }, scripts, "x".repeat(100));
  refusal(
    "token_policy_unsupported",
    () => readPolicies([unknown], ACCOUNT),
    new RegExp(`^the permission group "${"x".repeat(64)}" is not something a token can have here$`),
  );
  for (const resources of [
    { "com.cloudflare.api.account.zone.x": "*" },
    { "com.cloudflare.edge.worker.script.x": "*" },
    { "xcom.cloudflare.api.account.*": "*" },
    { [account]: "" },
    { [account]: null },
    { [account]: {} },
    { [account]: { "com.cloudflare.api.account.zone.x": "*" } },
    { [account]: { "com.cloudflare.api.account.zone.*": "one" } },
    { [account]: { "com.cloudflare.api.account.zone.*": "*", x: "*" } },
  ]) {
    refusal(
      "token_policy_unsupported",
      () => readPolicies([policy(resources)], ACCOUNT),
      /^the resource "/,
    );
  }
});

test("the account that policies name is the first, and none where they name any", () => {
  assert.equal(
    accountInPolicies([policy({ "com.cloudflare.api.user.x": "*", [account]: "*" })]),
    ACCOUNT,
  );
  assert.equal(accountInPolicies([policy({ "com.cloudflare.api.account.*": "*" })]), undefined);
  assert.equal(accountInPolicies([policy({ [`${account}0`]: "*" })]), undefined);
  assert.equal(accountInPolicies([policy({ [`x${account}`]: "*" })]), undefined);
  assert.equal(accountInPolicies([]), undefined);
});

test("a token shows its policies as they were sent, else one for each kind of resource", () => {
  const token = { id: "t", accountId: ACCOUNT, userId: null, policies: null } as TokenRow;
  const sent = readPolicies([policy({ [account]: "*" })], ACCOUNT).policies;
  assert.deepEqual(shownPolicies({ ...token, scopes: [], policies: sent }), sent);
  const scopes = ["workers_scripts:write", "zone:read", "user:read"];
  const shown = shownPolicies({ ...token, scopes });
  assert.deepEqual(
    shown.map(({ permission_groups: groups, resources }) => [
      groups.map(({ name }) => name),
      resources,
    ]),
    [
      [["Workers Scripts Write"], { [account]: "*" }],
      [["Zone Read"], { "com.cloudflare.api.account.zone.*": "*" }],
      [["User Details Read"], { [`com.cloudflare.api.user.${ACCOUNT}`]: "*" }],
    ],
  );
  assert.equal(new Set(shown.map(({ id }) => id)).size, 3);
  assert.ok(shown.every(({ effect, id }) => effect === "allow" && /^[0-9a-f]{32}$/.test(id)));
  const own = shownPolicies({ ...token, userId: "p", scopes: ["user:read"] });
  assert.deepEqual(own[0]?.resources, { "com.cloudflare.api.user.p": "*" });
  assert.deepEqual(shownPolicies({ ...token, scopes: [] }), []);
});

test("a list of policies has its bounds", () => {
  const one = policy({ [account]: "*" });
  const many = (count: number): SentPolicy =>
    policy({ [account]: "*" }, ...Array<string>(count).fill("x"));
  for (const [list, fits] of [
    [[], false],
    [[one], true],
    [Array<SentPolicy>(50).fill(one), true],
    [Array<SentPolicy>(51).fill(one), false],
    [[many(100)], true],
    [[many(101)], false],
    [[{ ...one, permission_groups: [] }], false],
    [[{ ...one, effect: "maybe" }], false],
    [[policy({ ["x".repeat(200)]: "*" })], true],
    [[policy({ ["x".repeat(201)]: "*" })], false],
  ] as const) {
    assert.equal(policies.safeParse(list).success, fits, JSON.stringify(list).slice(0, 60));
  }
});
