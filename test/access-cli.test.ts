import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type CliRun, countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("tokens, people and accounts from the command line", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform[Symbol.asyncDispose]());

  const run = (...argv: string[]): Promise<CliRun> =>
    countersign([...argv, "--data", platform.dataFolder]);
  // oxlint-disable-next-line typescript/no-explicit-any
  const json = async (...argv: string[]): Promise<any> =>
    JSON.parse((await run(...argv, "--json")).stdout);
  const status = async (token: string, path = `/accounts`): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(platform.ready.api + path, { headers })).status;
  };

  it("a token is made, listed, rolled and revoked", async () => {
    const made = await json("token", "create", "ci", "--expires", "1d");
    assert.equal(await status(made.token), 200);
    assert.equal(await status(made.token, `/accounts/${platform.ready.accountId}/audit_logs`), 403);
    const listed = await json("token", "list");
    const ci = listed.find((token: { name: string }) => token.name === "ci");
    assert.equal(ci.id, made.id);
    const left = Date.parse(ci.expires_on) - Date.now();
    assert.ok(left > 86_000_000 && left <= 86_400_000);
    const rolled = await json("token", "roll", "ci");
    assert.deepEqual([await status(made.token), await status(rolled.token)], [401, 200]);
    assert.match(
      (await run("token", "revoke", made.id, "--yes")).stdout,
      /"ci" .* works no longer/,
    );
    assert.equal(await status(rolled.token), 401);
    const gone = await run("token", "revoke", "ci", "--yes");
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /there is no API token "ci"/);
  });

  it("what cannot be is said with status 2 or 1", async () => {
    const wrong = await run("token", "create", "x", "--expires", "soon");
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /--expires "soon"/);
    const scope = await run("token", "create", "x", "--scope", "everything");
    assert.equal(scope.status, 2);
    assert.match(scope.stderr, /"everything" is not a scope; there are .*ssl_certs:write/);
    assert.match((await run("user", "add", "x")).stderr, /"x" is not an e-mail address/);
    const role = await run("user", "add", "a@example.com");
    assert.deepEqual([role.status, /--role is not given/.test(role.stderr)], [2, true]);
    assert.equal((await run("user", "add", "a@example.com", "--role", "boss")).status, 2);
    assert.equal(
      (await run("user", "add", "a@example.com", "--role", "admin", "--account", "Nowhere")).status,
      1,
    );
    assert.equal((await run("user", "remove", "nobody@example.com", "--yes")).status, 1);
  });

  const shown = async (...args: string[]) => (await json("account", "limits", ...args)).limits;

  it("an account's limits are shown and changed, for this account alone", async () => {
    await run("account", "add", "Roomy");
    assert.deepEqual(await shown(), { certificates: 1000, authorities: 5 });
    const raised = await shown("Roomy", "--certificates", "2000", "--cas", "20");
    assert.deepEqual(raised, { certificates: 2000, authorities: 20 });
    assert.deepEqual((await shown("Roomy", "--cas", "7")).certificates, 2000);
    assert.deepEqual(await shown(), { certificates: 1000, authorities: 5 });
    assert.equal((await run("account", "limits", "--cas", "many")).status, 2);
    assert.match((await run("account", "limits", "Roomy")).stdout, /2000 certificates and 7 CAs/);
  });

  it("a person is added to accounts, changed and removed, and all of it is in the log", async () => {
    assert.equal((await run("account", "add", "Shop", "--subdomain", "shop")).status, 0);
    assert.equal((await run("account", "add", "Shop")).status, 1, "names are unique");
    assert.equal((await run("user", "add", "Bob@Example.com", "--role", "viewer")).status, 0);
    const again = await run("user", "add", "bob@example.com", "--role", "admin");
    assert.match(again.stderr, /is viewer of the account already/);
    await run("user", "add", "bob@example.com", "--role", "deployer", "--account", "Shop");
    await run("user", "role", "bob@example.com", "admin", "--account", "Shop");
    const members = await json("user", "list");
    assert.deepEqual(
      members.map(({ email, role, account }: Record<string, string>) => [email, role, account]),
      [
        ["bob@example.com", "viewer", "Countersign"],
        ["bob@example.com", "admin", "Shop"],
      ],
    );
    await run("user", "remove", "bob@example.com", "--yes", "--account", "Shop");
    assert.equal((await json("user", "list")).length, 1);
    await run("user", "remove", "bob@example.com", "--yes");
    assert.deepEqual(await json("user", "list"), []);
    const log = await json("audit", "list", "--account", "Shop");
    assert.deepEqual(
      log.map(({ action }: { action: string }) => action),
      ["user.remove", "user.role", "user.create", "account.create"],
    );
  });

  it("the log is verified, and its end can be given the next time", async () => {
    const { head } = await json("audit", "verify");
    const noted = `${head.sequence}:${head.hash}`;
    assert.equal((await run("audit", "verify", "--head", noted)).status, 0);
    const other = await run("audit", "verify", "--head", `${head.sequence}:${"0".repeat(64)}`);
    assert.equal(other.status, 1);
    assert.match(other.stderr, /is not the one noted/);
    assert.match((await run("audit", "list")).stdout, /account\.create/);
  });
});
