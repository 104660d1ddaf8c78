import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { AccessPolicy, AccessRule } from "../../contract/access.ts";
import type { IngressAccess } from "../protocol.ts";
import { Gate, type Verdict, type Visit } from "./gate.ts";

const SECRET = "s".repeat(64);
const NOW = Date.parse("2026-11-25T12:00:00Z");
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const hash = (text: string): string => createHash("sha256").update(text).digest("hex");

const TOKEN = {
  id: "t",
  clientId: "abc.access",
  enabled: true,
  expiresOn: null,
  secrets: [{ hash: hash(SECRET), until: null }],
};

function policy(include: readonly AccessRule[], more: Partial<AccessPolicy> = {}): AccessPolicy {
  return { id: "p", decision: "non_identity", include, require: [], exclude: [], ...more };
}

function gate(
  policies: readonly AccessPolicy[],
  more: Partial<IngressAccess> = {},
  clock = { now: NOW },
): Gate {
  const made = new Gate(() => clock.now);
  const access: IngressAccess = {
    applications: [{ id: "a", aud: "aud", domains: ["app.example"], policies }],
    tokens: [TOKEN],
    authorities: [],
    keys: [
      {
        id: "k",
        publicKey: { kid: "k" },
        signsFrom: "2020-01-01T00:00:00.000Z",
        privateKey: privateKey.export({ format: "pem", type: "pkcs8" }),
      },
    ],
    ...more,
  };
  made.update({ accountId: "one", access });
  return made;
}

function visit(more: Partial<Visit> = {}): Visit {
  return {
    accountId: "one",
    host: "app.example",
    origin: "https://app.example",
    path: "/",
    address: "192.0.2.1",
    clientId: undefined,
    clientSecret: undefined,
    certificate: () => null,
    ...more,
  };
}

const known = { clientId: "abc.access", clientSecret: SECRET };
const ANY: AccessRule = { kind: "any_valid_service_token" };

function claims(verdict: Verdict): Record<string, unknown> {
  assert.equal(verdict.kind, "pass", JSON.stringify(verdict));
  const [name, token = ""] = verdict.kind === "pass" ? verdict.headers : [];
  assert.equal(name, "Cf-Access-Jwt-Assertion");
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<
    string,
    unknown
  >;
}

test("an account that was not told, an application without a policy and an empty include let nobody in", () => {
  assert.deepEqual(new Gate().check(visit(known)), { kind: "refuse", code: "platform_starting" });
  for (const policies of [[], [policy([])], [policy([], { require: [{ kind: "everyone" }] })]]) {
    const verdict = gate(policies).check(visit(known));
    assert.deepEqual(verdict, { kind: "refuse", code: "access_denied" });
  }
});

test("a service token is let in with an assertion; other hosts are nobody's business", () => {
  const made = gate([policy([{ kind: "service_token", tokenId: "t" }])]);
  assert.deepEqual(claims(made.check(visit(known))), {
    type: "app",
    aud: "aud",
    iss: "https://app.example",
    common_name: "abc.access",
    sub: "",
    iat: NOW / 1000,
    exp: NOW / 1000 + 60,
  });
  assert.deepEqual(made.check(visit({ host: "other.example" })), { kind: "pass", headers: [] });
  assert.equal(made.check(visit()).kind, "refuse");
  const other = gate([policy([{ kind: "service_token", tokenId: "another" }])]);
  assert.deepEqual(other.check(visit(known)), { kind: "refuse", code: "access_denied" });
});

test("a path that could be read as a protected one needs what that one does, or what all of the host do", () => {
  const applications = [
    { id: "a", aud: "aud", domains: ["app.example/admin"], policies: [policy([ANY])] },
  ];
  const made = gate([], { applications });
  assert.equal(made.check(visit({ path: "/public" })).kind, "pass");
  const slow = `/public${"/x%2f".repeat(500)}`;
  for (const path of ["/admin", String.raw`/admin/\/../../secret`, "/admin/../public", slow]) {
    assert.equal(made.check(visit({ path })).kind, "refuse", path.slice(0, 50));
    assert.equal(made.check(visit({ ...known, path })).kind, "pass", path.slice(0, 50));
  }
});

test("a wrong id, a wrong secret and a missing one are refused in the same words", async () => {
  const made = gate([policy([ANY])]);
  for (const wrong of [
    { clientId: "abc.access", clientSecret: "x".repeat(64) },
    { clientId: "nobody.access", clientSecret: SECRET },
    { clientId: "abc.access" },
    { clientSecret: SECRET },
    { clientId: "abc.access", clientSecret: SECRET + "x".repeat(1000) },
  ]) {
    const verdict = made.check(visit(wrong));
    assert.equal(verdict.kind, "held");
    assert.equal(await (verdict.kind === "held" ? verdict.code : null), "access_denied");
  }
});

test("guesses are slowed down, and the right token is let in meanwhile", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const made = gate([policy([ANY])]);
  const wrong = visit({ clientId: "abc.access", clientSecret: "x" });
  const codes: unknown[] = [];
  for (let i = 0; i < 11; i++) {
    const verdict = made.check(wrong);
    if (verdict.kind === "held") void verdict.code.then((code) => codes.push(code));
    await turn();
  }
  assert.deepEqual(codes, Array<string>(10).fill("access_denied"));
  t.mock.timers.tick(1_999);
  await turn();
  assert.equal(codes.length, 10, "the last one waits");
  t.mock.timers.tick(1);
  await turn();
  assert.equal(codes[10], "access_too_many_tries");
  assert.equal(made.check(visit(known)).kind, "pass");
});

test("the secret before works until its time, an ended or disabled token does not", () => {
  const clock = { now: NOW };
  const until = new Date(NOW + 1000).toISOString();
  const old = [
    { hash: hash("new"), until: null },
    { hash: hash(SECRET), until },
  ];
  const rotated = gate([policy([ANY])], { tokens: [{ ...TOKEN, secrets: old }] }, clock);
  assert.equal(rotated.check(visit(known)).kind, "pass");
  assert.equal(rotated.check(visit({ ...known, clientSecret: "new" })).kind, "pass");
  clock.now += 1000;
  assert.equal(rotated.check(visit(known)).kind, "held");
  assert.equal(rotated.check(visit({ ...known, clientSecret: "new" })).kind, "pass");
  for (const change of [{ enabled: false }, { expiresOn: new Date(NOW).toISOString() }]) {
    const made = gate([policy([ANY])], { tokens: [{ ...TOKEN, ...change }] });
    assert.equal(made.check(visit(known)).kind, "held");
  }
});

function check(one: AccessPolicy, more: Partial<Visit> = {}): string {
  return gate([one]).check(visit({ ...known, ...more })).kind;
}

test("include is one of, require is all of, exclude is none of", () => {
  const here: AccessRule = { kind: "ip", range: "192.0.2.0/24" };
  const away: AccessRule = { kind: "ip", range: "198.51.100.0/24" };
  const named: AccessRule = { kind: "common_name", commonName: "robot" };
  assert.equal(check(policy([away, ANY])), "pass");
  assert.equal(check(policy([ANY], { require: [here] })), "pass");
  assert.equal(check(policy([ANY], { require: [here, away] })), "refuse");
  assert.equal(check(policy([ANY], { exclude: [away] })), "pass");
  assert.equal(check(policy([ANY], { exclude: [here] })), "refuse");
  assert.equal(check(policy([named])), "refuse");
  assert.equal(check(policy([named]), { certificate: () => ({ commonName: "robot" }) }), "pass");
  assert.equal(check(policy([named]), { certificate: () => ({ commonName: "r" }) }), "refuse");
  assert.equal(check(policy([here]), { address: null }), "refuse");
  assert.equal(check(policy([{ kind: "what" } as never])), "refuse");
});

test("a bypass lets in without an assertion; a deny lets nobody in, as it cannot", () => {
  const everyone: AccessRule = { kind: "everyone" };
  assert.deepEqual(gate([policy([everyone], { decision: "bypass" })]).check(visit()), {
    kind: "pass",
    headers: [],
  });
  const denied = gate([policy([everyone], { decision: "deny" })]);
  assert.equal(denied.check(visit(known)).kind, "refuse");
});

test("the most specific application decides, and each way to read a path has to be let in", () => {
  const open = policy([{ kind: "everyone" }], { decision: "bypass" });
  const applications = [
    { id: "1", aud: "1", domains: ["*.example"], policies: [] },
    { id: "2", aud: "2", domains: ["app.example/public"], policies: [open] },
    { id: "3", aud: "3", domains: ["app.example"], policies: [policy([ANY])] },
  ];
  const made = gate([], { applications });
  assert.equal(made.check(visit({ path: "/public/x" })).kind, "pass");
  assert.equal(made.check(visit({ host: "b.example", path: "/public", ...known })).kind, "refuse");
  assert.equal(claims(made.check(visit({ path: "/x", ...known }))).aud, "3");
  for (const path of [
    "/",
    "/publicity",
    "/public/..%2fx",
    "/public/../x",
    "/PUBLIC",
    "/public\\..\\x",
  ]) {
    assert.equal(made.check(visit({ path })).kind, "refuse", path);
  }
});

test("a key signs from its time on, without a word from outside", () => {
  const pem = privateKey.export({ format: "pem", type: "pkcs8" });
  const key = (id: string, from: number) => ({
    id,
    publicKey: { kid: id },
    privateKey: pem,
    signsFrom: new Date(from).toISOString(),
  });
  const clock = { now: NOW };
  const made = gate(
    [policy([ANY])],
    { keys: [key("next", NOW + 3_600_000), key("now", NOW - 1)] },
    clock,
  );
  const signer = (): unknown => {
    const verdict = made.check(visit(known));
    assert.ok(verdict.kind === "pass");
    const [head = ""] = verdict.headers[1]!.split(".");
    return (JSON.parse(Buffer.from(head, "base64url").toString()) as { kid: string }).kid;
  };
  assert.equal(signer(), "now");
  clock.now += 3_599_000;
  assert.equal(signer(), "now");
  clock.now += 31_000;
  assert.equal(signer(), "next");
});
