import Cloudflare from "cloudflare";
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createUser, deleteUser, setMembership } from "../src/store/access/users.ts";
import { createToken } from "../src/store/access/tokens.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { engines } from "./helpers/database.ts";

const READ_CERTIFICATES = "a7a233f9604845c787d4c8c39ac09c21";
const WRITE_TOKENS = "686d18d5ac6c441c867cbf6771e58a0a";
const WRITE_CERTIFICATES = "db37e5f1cb1a4e1aabaef8deaea43575";

for (const [engine, open] of Object.entries(engines)) {
  describe(`API tokens through the cloudflare SDK, on ${engine}`, () => {
    let control: TestControl;
    let now = new Date();
    before(async () => {
      control = await startControl({ open, clock: () => now });
    });
    after(() => control[Symbol.asyncDispose]());

    const client = (apiToken: string): Cloudflare =>
      new Cloudflare({ apiToken, baseURL: control.api, maxRetries: 0 });
    const policy = (...ids: string[]) => ({
      effect: "allow" as const,
      permission_groups: ids.map((id) => ({ id })),
      resources: { [`com.cloudflare.api.account.${control.accountId}`]: "*" },
    });
    const status = async (token: string): Promise<number> => {
      const path = `/accounts/${control.accountId}/mtls_certificates`;
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(control.api + path, { headers })).status;
    };

    it("a token is made, shown, changed, rolled and revoked", async () => {
      const { tokens } = client(control.token).user;
      const made = await tokens.create({ name: "ci", policies: [policy(READ_CERTIFICATES)] });
      assert.match(made.value ?? "", /^csn_[\w-]{40}$/);
      const id = made.id ?? "";
      assert.equal(await status(made.value ?? ""), 200);
      const got = await tokens.get(id);
      assert.equal(got.name, "ci");
      assert.equal(got.status, "active");
      assert.equal(
        got.policies?.[0]?.permission_groups[0]?.name,
        "Account: SSL and Certificates Read",
      );
      assert.ok(!("value" in got));

      await tokens.update(id, {
        name: "ci",
        policies: [policy(READ_CERTIFICATES)],
        status: "disabled",
      });
      assert.equal(await status(made.value ?? ""), 401);
      await tokens.update(id, {
        name: "ci 2",
        policies: [policy(READ_CERTIFICATES)],
        status: "active",
      });
      assert.equal(await status(made.value ?? ""), 200);

      const rolled = await tokens.value.update(id, { body: {} });
      assert.equal(await status(made.value ?? ""), 401);
      assert.equal(await status(rolled), 200);

      const names = [];
      for await (const token of tokens.list()) names.push(token.name);
      assert.deepEqual(new Set(names), new Set(["first start", "ci 2"]));
      await tokens.delete(id);
      assert.equal(await status(rolled), 401);
      await assert.rejects(tokens.get(id), /there is no API token/);
    });

    it("the permission groups are Cloudflare's own", async () => {
      const groups = [];
      for await (const group of client(control.token).user.tokens.permissionGroups.list()) {
        groups.push(group);
      }
      const scripts = groups.find(({ id }) => id === "e086da7e2179491d91ee5f35b3ca210a");
      assert.equal(scripts?.name, "Workers Scripts Write");
    });

    it("a token works from when it is valid until it expires", async () => {
      const { tokens } = client(control.token).user;
      const made = await tokens.create({
        name: "a day",
        policies: [policy(READ_CERTIFICATES)],
        not_before: new Date(now.getTime() + 3_600_000).toISOString(),
        expires_on: new Date(now.getTime() + 7_200_000).toISOString(),
      });
      const began = now;
      const later = async (hours: number): Promise<number> => {
        now = new Date(began.getTime() + hours * 3_600_000);
        return status(made.value ?? "");
      };
      try {
        assert.deepEqual([await later(0), await later(1), await later(2)], [401, 200, 401]);
        assert.equal((await tokens.get(made.id ?? "")).status, "expired");
      } finally {
        now = began;
      }
    });

    it("a token works from the addresses on its list only", async () => {
      const { tokens } = client(control.token).user;
      const limited = async (request_ip: object): Promise<string> =>
        (
          await tokens.create({
            name: "here",
            policies: [policy(READ_CERTIFICATES)],
            condition: { request_ip },
          })
        ).value ?? "";
      assert.equal(await status(await limited({ in: ["127.0.0.0/8"] })), 200);
      assert.equal(await status(await limited({ in: ["192.0.2.0/24"] })), 403);
      assert.equal(await status(await limited({ not_in: ["127.0.0.1"] })), 403);
    });

    it("nobody gets hold of a token that can do more than they can", async () => {
      const admin = client(control.token).user.tokens;
      const strong = await admin.create({ name: "strong", policies: [policy(WRITE_CERTIFICATES)] });
      const weak = await admin.create({ name: "weak", policies: [policy(WRITE_TOKENS)] });
      const { tokens } = client(weak.value ?? "").user;
      await assert.rejects(
        tokens.create({ name: "more", policies: [policy(WRITE_CERTIFICATES)] }),
        /would have ssl_certs:write/,
      );
      await assert.rejects(tokens.value.update(strong.id ?? "", { body: {} }), /ssl_certs:write/);
      const same = await tokens.create({ name: "same", policies: [policy(WRITE_TOKENS)] });
      await assert.rejects(
        tokens.update(same.id ?? "", { name: "more", policies: [policy(WRITE_CERTIFICATES)] }),
        /ssl_certs:write/,
      );
    });

    it("a weaker token changes, disables, rolls or ends no stronger one", async () => {
      const admin = client(control.token).user.tokens;
      const strong = await admin.create({ name: "strong", policies: [policy(WRITE_CERTIFICATES)] });
      const weak = await admin.create({ name: "weak", policies: [policy(WRITE_TOKENS)] });
      const { tokens } = client(weak.value ?? "").user;
      const id = strong.id ?? "";
      const weaker = { name: "weaker", policies: [policy(WRITE_TOKENS)] };
      for (const attempt of [
        () => tokens.update(id, weaker),
        () => tokens.update(id, { ...weaker, status: "disabled" }),
        () => tokens.value.update(id, { body: {} }),
        () => tokens.delete(id),
      ]) {
        await assert.rejects(attempt(), /ssl_certs:write/);
      }
      assert.equal(await status(strong.value ?? ""), 200);
    });

    it("what a token makes is no longer, from nowhere else, and ends with it", async () => {
      const admin = client(control.token).user.tokens;
      const policies = [policy(WRITE_TOKENS, READ_CERTIFICATES)];
      const expires_on = new Date(now.getTime() + 3_600_000).toISOString();
      const condition = { request_ip: { in: ["127.0.0.0/8"], not_in: ["127.9.0.0/16"] } };
      const maker = await admin.create({ name: "maker", policies, expires_on, condition });
      const { tokens } = client(maker.value ?? "").user;
      const child = await tokens.create({ name: "child", policies });
      assert.equal(child.expires_on, expires_on);
      assert.deepEqual(child.condition, condition);
      const grandchild = await client(child.value ?? "").user.tokens.create({
        name: "grandchild",
        policies,
        expires_on: new Date(now.getTime() + 60_000).toISOString(),
        condition: { request_ip: { in: ["127.0.0.1/32"] } },
      });
      assert.equal(await status(grandchild.value ?? ""), 200);
      const later = new Date(now.getTime() + 7_200_000).toISOString();
      const wider = { request_ip: { in: ["0.0.0.0/0"], not_in: ["127.9.0.0/16"] } };
      const within = { expires_on, condition };
      const attempts: [object, RegExp][] = [
        [{ expires_on: later }, /would work after/],
        [{ condition: wider }, /from addresses/],
        [{ condition: { request_ip: { in: ["::/0"] } } }, /from addresses/],
      ];
      for (const [more, why] of attempts) {
        const all = { name: "more", policies, ...within, ...more };
        await assert.rejects(tokens.create(all), why);
        await assert.rejects(tokens.update(child.id ?? "", all), why);
        await assert.rejects(tokens.update(maker.id ?? "", all), why, "itself");
      }
      const lasting = await admin.create({ name: "lasting", policies });
      await assert.rejects(tokens.delete(lasting.id ?? ""), /would work after/);
      await assert.rejects(
        client(child.value ?? "").user.tokens.delete(maker.id ?? ""),
        /was made with it/,
      );
      await admin.update(maker.id ?? "", { name: "maker", policies, status: "disabled" });
      assert.equal(await status(grandchild.value ?? ""), 401, "no maker, no token");
      await admin.update(maker.id ?? "", { name: "maker", policies, status: "active" });
      assert.equal(await status(grandchild.value ?? ""), 200);
      await admin.delete(maker.id ?? "");
      for (const { value } of [maker, child, grandchild]) {
        assert.equal(await status(value ?? ""), 401);
      }
      await assert.rejects(admin.get(grandchild.id ?? ""), /there is no API token/);
    });

    it("another value for a token ends what the one before made", async () => {
      const admin = client(control.token).user.tokens;
      const policies = [policy(WRITE_TOKENS, READ_CERTIFICATES)];
      const maker = await admin.create({ name: "leaked", policies });
      const child = await client(maker.value ?? "").user.tokens.create({ name: "child", policies });
      const rolled = await admin.value.update(maker.id ?? "", { body: {} });
      assert.deepEqual([await status(child.value ?? ""), await status(rolled)], [401, 200]);
    });

    it("what policies cannot be here is refused by name", async () => {
      const cases: [object, RegExp][] = [
        [{ ...policy(READ_CERTIFICATES), effect: "deny" }, /effect deny/],
        [policy("00000000000000000000000000000000"), /permission group "0+"/],
        [
          {
            ...policy(READ_CERTIFICATES),
            resources: { "com.cloudflare.api.account.zone.abc": "*" },
          },
          /the resource "com.cloudflare.api.account.zone.abc"/,
        ],
        [
          {
            ...policy(READ_CERTIFICATES),
            resources: { [`com.cloudflare.api.account.${"f".repeat(32)}`]: "*" },
          },
          /Authentication error/,
        ],
      ];
      for (const [wrong, message] of cases) {
        const { errors } = await control.call("POST", "/user/tokens", {
          name: "x",
          policies: [wrong],
        });
        assert.match(errors[0]?.message ?? "", message);
      }
    });

    it("a person's token is theirs alone, never exceeds their role, and goes with them", async () => {
      const { value } = await control.store.write(async ({ db }) => {
        const user = await createUser(db, { email: "v@example.com", passwordHash: "", now });
        const member = {
          userId: user.id,
          accountId: control.accountId,
          createdOn: now.toISOString(),
        };
        await setMembership(db, { ...member, role: "admin" });
        const { token } = await createToken(db, {
          accountId: control.accountId,
          userId: user.id,
          name: "mine",
          email: user.email,
          scopes: ["ssl_certs:write", "api_tokens:read"],
          expiresOn: null,
          now,
        });
        return { value: { user, member, token }, audit: null };
      });
      const { user, member, token } = value;
      const upload = async (): Promise<number> => {
        const response = await fetch(
          `${control.api}/accounts/${control.accountId}/mtls_certificates`,
          {
            method: "POST",
            body: "{}",
            headers: { authorization: `Bearer ${token}` },
          },
        );
        return response.status;
      };
      assert.equal(await upload(), 400);
      const names = [];
      for await (const shown of client(token).user.tokens.list()) names.push(shown.name);
      assert.deepEqual(names, ["mine"]);

      await control.store.write(async ({ db }) => {
        await setMembership(db, { ...member, role: "viewer" });
        return { value: null, audit: null };
      });
      assert.equal(await upload(), 403);
      assert.equal(await status(token), 200);
      await control.store.write(async ({ db }) => {
        await deleteUser(db, user.id);
        return { value: null, audit: null };
      });
      assert.equal(await status(token), 401);
    });

    it("wrong tokens are answered later and later, a right one at once", async () => {
      const wrong = await Promise.all(
        Array.from({ length: 30 }, (_, i) => status(`csn_wrong${i}`)),
      );
      assert.ok(wrong.includes(401) && wrong.includes(429), wrong.join(" "));
      const refused = await fetch(`${control.api}/accounts`, {
        headers: { authorization: "Bearer csn_wrong" },
      });
      assert.equal(refused.status, 429);
      assert.match(refused.headers.get("retry-after") ?? "", /^\d+$/);
      const slow = status("csn_wrong");
      assert.equal(await Promise.race([slow, status(control.token)]), 200);
      await slow;
    });
  });
}
