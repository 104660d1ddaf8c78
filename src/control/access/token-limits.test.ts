import assert from "node:assert/strict";
import { test } from "node:test";
import { refusal } from "../../../test/helpers/refusal.ts";
import type { TokenRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import { assertMayTouch, assertWithin, keptWithin, type Strength } from "./token-limits.ts";

const END = "2026-12-01T00:00:00.000Z";
const later = new Date("2026-12-02T00:00:00.000Z");
const earlier = new Date("2026-11-30T00:00:00.000Z");

/** A token that reads certificates and writes tokens, without limits except the given ones. */
function caller(limits: Partial<Caller> = {}): Caller {
  return {
    kind: "token",
    tokenId: "own",
    userId: null,
    email: "ci@localhost",
    address: null,
    accountId: "a",
    scopes: ["ssl_certs:read", "api_tokens:write"],
    expiresOn: null,
    requestIp: {},
    reach: [],
    ...limits,
  };
}

function wanted(strength: Partial<Strength> = {}): Strength {
  return { scopes: ["ssl_certs:read"], expiresOn: null, requestIp: null, ...strength };
}

/** A stored token that may do exactly what `caller()` may. */
function row(own: Partial<TokenRow> = {}): TokenRow {
  const now = "2026-11-01T00:00:00.000Z";
  return {
    id: "other",
    accountId: "a",
    userId: null,
    name: "other",
    email: "ci@localhost",
    hash: "",
    scopes: ["ssl_certs:read"],
    policies: null,
    createdOn: now,
    modifiedOn: now,
    notBefore: null,
    expiresOn: null,
    requestIp: null,
    disabled: 0,
    revokedOn: null,
    madeBy: null,
    ...own,
  };
}

const exceeds = "token_exceeds_maker";

test("a token makes none that does more, and says what that would be", () => {
  assertWithin(caller(), wanted({ scopes: ["ssl_certs:read", "api_tokens:read"] }));
  const failure = refusal(
    exceeds,
    () => assertWithin(caller(), wanted({ scopes: ["ssl_certs:write", "api_tokens:write"] })),
    /^the token would have ssl_certs:write, which the one in use has not$/,
  );
  assert.deepEqual(failure.facts["scopes"], ["ssl_certs:write"]);
  refusal(
    exceeds,
    () => assertWithin(caller(), wanted({ scopes: ["auditlogs:read", "zone:read"] })),
    /would have auditlogs:read, zone:read, which/,
  );
});

test("a token makes none that works for longer", () => {
  const ending = caller({ expiresOn: END });
  assertWithin(ending, wanted({ expiresOn: earlier }));
  assertWithin(ending, wanted({ expiresOn: new Date(END) }));
  for (const expiresOn of [later, null]) {
    const failure = refusal(
      exceeds,
      () => assertWithin(ending, wanted({ expiresOn })),
      /^the token would work after 2026-12-01T00:00:00\.000Z, when the one in use ends$/,
    );
    assert.equal(failure.facts["expiresOn"], END);
  }
  assertWithin(caller(), wanted({ expiresOn: later }));
});

test("a token makes none that works from elsewhere", () => {
  const bound = caller({ requestIp: { in: ["192.0.2.0/24"], not_in: ["192.0.2.7/32"] } });
  const not_in = ["192.0.2.7/32"];
  assertWithin(bound, wanted({ requestIp: { in: ["192.0.2.128/25"], not_in } }));
  for (const requestIp of [
    null,
    {},
    { in: ["198.51.100.0/24"], not_in },
    { in: ["192.0.2.0/24"] },
  ]) {
    const failure = refusal(
      exceeds,
      () => assertWithin(bound, wanted({ requestIp })),
      /^the token would work from addresses that the one in use does not work from$/,
    );
    assert.deepEqual(failure.facts["requestIp"], bound.requestIp);
  }
  // Empty lists are no limit.
  assertWithin(caller({ requestIp: { in: [], not_in: [] } }), wanted());
  refusal(exceeds, () => assertWithin(caller({ requestIp: { not_in } }), wanted()));
});

test("what is left open is as narrow as the token in use", () => {
  const bound = caller({
    expiresOn: END,
    requestIp: { in: ["192.0.2.0/24"], not_in: ["192.0.2.7/32"] },
  });
  assert.deepEqual(keptWithin(bound, wanted()), {
    scopes: ["ssl_certs:read"],
    expiresOn: new Date(END),
    requestIp: { in: ["192.0.2.0/24"], not_in: ["192.0.2.7/32"] },
  });
  const own = { in: ["192.0.2.0/25"], not_in: ["192.0.2.7/32", "192.0.2.8/32"] };
  assert.deepEqual(keptWithin(bound, wanted({ expiresOn: earlier, requestIp: own })), {
    scopes: ["ssl_certs:read"],
    expiresOn: earlier,
    requestIp: own,
  });
  const listed = keptWithin(bound, wanted({ requestIp: { in: [] } }));
  assert.deepEqual(listed.requestIp, bound.requestIp, "an empty list is left open as well");
  assert.deepEqual(
    keptWithin(caller({ requestIp: { in: ["192.0.2.1/32"] } }), wanted()).requestIp,
    {
      in: ["192.0.2.1/32"],
    },
  );
  assert.deepEqual(
    keptWithin(caller({ requestIp: { not_in: ["192.0.2.1/32"] } }), wanted()).requestIp,
    {
      not_in: ["192.0.2.1/32"],
    },
  );
  refusal(exceeds, () => keptWithin(bound, wanted({ expiresOn: later })));
  assert.deepEqual(keptWithin(caller(), wanted()), wanted(), "nothing is bound by nothing");
});

test("a person is bound by the role alone: what they make outlives their login", () => {
  const person = caller({ kind: "user", expiresOn: END, requestIp: { in: ["192.0.2.1/32"] } });
  assert.deepEqual(keptWithin(person, wanted()), wanted());
  assertWithin(person, wanted({ expiresOn: later }));
  refusal(exceeds, () => assertWithin(person, wanted({ scopes: ["ssl_certs:write"] })));
});

test("a weak token touches no stronger one, in none of the ways in which it is stronger", () => {
  const bound = caller({ expiresOn: END, requestIp: { in: ["192.0.2.0/24"] } });
  const weaker = row({
    expiresOn: earlier.toISOString(),
    requestIp: { in: ["192.0.2.1/32"] },
  });
  assertMayTouch(bound, weaker, null);
  for (const stronger of [
    { scopes: ["ssl_certs:write"] },
    { expiresOn: later.toISOString() },
    { expiresOn: null },
    { requestIp: null },
    { requestIp: { in: ["198.51.100.1/32"] } },
  ]) {
    refusal(exceeds, () => assertMayTouch(bound, { ...weaker, ...stronger }, null));
  }
});

test("a token touches none of those that it came of; a person may", () => {
  const makers = [row({ id: "maker" }), row({ id: "maker of the maker" })];
  assertMayTouch(caller(), row(), makers);
  for (const maker of makers) {
    const failure = refusal(
      exceeds,
      () => assertMayTouch(caller(), maker, makers),
      /^the token in use was made with it$/,
    );
    assert.equal(failure.facts["token"], maker.id);
    assertMayTouch(caller({ kind: "user" }), maker, makers);
  }
});
