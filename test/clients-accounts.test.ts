import Cloudflare, { APIError } from "cloudflare";
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createToken } from "../src/store/access/tokens.ts";
import { createUser, setMembership } from "../src/store/access/users.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { scriptForm } from "./helpers/script-form.ts";

const READ_CERTIFICATES = "a7a233f9604845c787d4c8c39ac09c21";
const WRITE_CERTIFICATES = "db37e5f1cb1a4e1aabaef8deaea43575";

describe("an account's own tokens, and what any token may read, through the cloudflare SDK", () => {
  let control: TestControl;
  let admin: Cloudflare;
  let account: { account_id: string };
  before(async () => {
    control = await startControl();
    admin = client(control.token);
    account = { account_id: control.accountId };
  });
  after(() => control[Symbol.asyncDispose]());

  const client = (apiToken: string): Cloudflare =>
    new Cloudflare({ apiToken, baseURL: control.api, maxRetries: 0 });
  const policies = (id: string) => [
    {
      effect: "allow" as const,
      permission_groups: [{ id }],
      resources: { [`com.cloudflare.api.account.${control.accountId}`]: "*" },
    },
  ];
  const verified = async (token: string): Promise<string | undefined> =>
    (await client(token).accounts.tokens.verify(account)).status;
  const member = async (name: string, role: "admin" | "deployer", scopes: string[]) => {
    const now = new Date();
    const { value } = await control.store.write(async ({ db }) => {
      const user = await createUser(db, { email: `${name}@example.com`, passwordHash: "", now });
      const membership = { userId: user.id, accountId: control.accountId };
      await setMembership(db, { ...membership, createdOn: now.toISOString(), role });
      const { email } = user;
      const made = { accountId: control.accountId, userId: user.id, name, email, scopes };
      return {
        value: { user, token: (await createToken(db, { ...made, expiresOn: null, now })).token },
        audit: null,
      };
    });
    return value;
  };

  it("a token of the account is made, listed, shown, changed, rolled, verified and deleted", async () => {
    const { tokens } = admin.accounts;
    const made = await tokens.create({
      ...account,
      name: "ci",
      policies: policies(READ_CERTIFICATES),
    });
    const [id, first] = [made.id ?? "", made.value ?? ""];
    assert.equal(await verified(first), "active");
    const listed = [];
    for await (const token of tokens.list(account)) listed.push(token.name);
    assert.deepEqual(new Set(listed), new Set(["first start", "ci"]));
    const changed = { ...account, name: "ci 2", policies: policies(READ_CERTIFICATES) };
    await tokens.update(id, { ...changed, status: "disabled" });
    await assert.rejects(verified(first), { status: 401 });
    await tokens.update(id, { ...changed, status: "active" });
    const got = await tokens.get(id, account);
    assert.deepEqual([got.name, got.status, "value" in got], ["ci 2", "active", false]);
    const rolled = await tokens.value.update(id, account);
    await assert.rejects(verified(first), { status: 401 });
    assert.equal(await verified(rolled), "active");
    assert.deepEqual(await tokens.delete(id, account), { id });
    await assert.rejects(verified(rolled), { status: 401 });
    await assert.rejects(tokens.get(id, account), { status: 404 });
  });

  it("the account's permission groups are those of tokens", async () => {
    const groups = await admin.accounts.tokens.permissionGroups.get(account);
    assert.ok(JSON.stringify(groups).includes(READ_CERTIFICATES));
  });

  it("a deployer neither sees nor makes what belongs to the account, an admin does", async () => {
    const { tokens } = client(
      (await member("dep", "deployer", ["api_tokens:write"])).token,
    ).accounts;
    const wanted = { ...account, name: "mine", policies: policies(READ_CERTIFICATES) };
    await assert.rejects(tokens.create(wanted), /your role, deployer/);
    await assert.rejects(async () => void (await tokens.list(account)), /your role, deployer/);
    const own = (await admin.accounts.tokens.list(account)).result[0]?.id ?? "";
    await assert.rejects(tokens.get(own, account), /your role, deployer/);
    await assert.rejects(tokens.delete(own, account), /your role, deployer/);
    const boss = await member("boss", "admin", ["api_tokens:write", "ssl_certs:read"]);
    const made = await client(boss.token).accounts.tokens.create(wanted);
    assert.equal(await verified(made.value ?? ""), "active");
    await assert.rejects(client(boss.token).user.tokens.get(made.id ?? ""), { status: 404 });
  });

  it("a token that a person's token made for the account is bound by that person's role", async () => {
    const { user, token } = await member("was", "admin", ["api_tokens:write", "ssl_certs:write"]);
    const made = await client(token).accounts.tokens.create({
      ...account,
      name: "kept",
      policies: policies(WRITE_CERTIFICATES),
    });
    const upload = () =>
      client(made.value ?? "").mtlsCertificates.create({ ...account, ca: true, certificates: "x" });
    await assert.rejects(upload(), { status: 400 });
    await control.store.write(async ({ db }) => {
      const membership = {
        userId: user.id,
        accountId: control.accountId,
        role: "deployer" as const,
      };
      await setMembership(db, { ...membership, createdOn: new Date().toISOString() });
      return { value: null, audit: null };
    });
    await assert.rejects(upload(), { status: 403 });
  });

  it("another account's tokens are not this one's", async () => {
    const wrong = { account_id: "f".repeat(32) };
    await assert.rejects(admin.accounts.tokens.verify(wrong), { status: 403 });
    await assert.rejects(async () => void (await admin.accounts.tokens.list(wrong)), {
      status: 403,
    });
  });

  it("the narrowest token is told its account and membership, and by 9109 not whose it is", async () => {
    const made = await admin.accounts.tokens.create({
      ...account,
      name: "narrow",
      policies: policies(READ_CERTIFICATES),
    });
    const narrow = client(made.value ?? "");
    const [one] = (await narrow.accounts.list()).result;
    assert.equal(one?.id, control.accountId);
    const [membership] = (await narrow.memberships.list()).result;
    assert.equal(membership?.account?.id, control.accountId);
    await assert.rejects(
      async () => void (await narrow.user.get()),
      (error) => error instanceof APIError && error.errors[0]?.code === 9109,
    );
  });

  it("a deployment that is over is deleted, the one in force is not", async () => {
    const path = "/accounts/{account}/workers/scripts/over";
    await control.call("PUT", path, scriptForm());
    await control.call("PUT", path, scriptForm());
    const { deployments } = admin.workers.scripts;
    const script = { ...account, script_name: "over" };
    const listed = async () =>
      (await control.call("GET", `${path}/deployments`)).result.deployments as { id: string }[];
    const [current, over] = await listed();
    await assert.rejects(deployments.delete(current?.id ?? "", script), /the one in force/);
    await deployments.delete(over?.id ?? "", script);
    assert.deepEqual(
      (await listed()).map(({ id }) => id),
      [current?.id],
    );
    await assert.rejects(deployments.delete(over?.id ?? "", script), { status: 404 });
    await control.call("PUT", path, scriptForm());
    assert.equal((await listed()).length, 2);
  });

  it("the content of a script is read at both of its paths", async () => {
    await control.call("PUT", "/accounts/{account}/workers/scripts/read", scriptForm());
    const path = `/accounts/${control.accountId}/workers/scripts/read/content`;
    const newer = await admin.workers.scripts.content.get("read", account);
    const older = await admin.get<Response>(path, { __binaryResponse: true });
    for (const response of [newer, older]) {
      const entry = response.headers.get("cf-entrypoint") ?? "";
      assert.match(await ((await response.formData()).get(entry) as File).text(), /default/);
    }
  });
});
