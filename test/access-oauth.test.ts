import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, it } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { Visitor } from "./helpers/visitor.ts";

const callback = "http://localhost:8976/oauth/callback";

describe("the OAuth server", () => {
  let platform: TestPlatform;
  let origin: string;
  let password: string;
  before(async () => {
    platform = await startPlatform();
    origin = new URL(platform.ready.api).origin;
    const data = ["--data", platform.dataFolder, "--json"];
    const added = await countersign([
      "user",
      "add",
      "ada@example.com",
      "--role",
      "viewer",
      ...data,
    ]);
    password = JSON.parse(added.stdout).password;
  });
  after(() => platform[Symbol.asyncDispose]());

  /** Signs in, allows the client, and returns the code. */
  const codeFor = async (verifier: string): Promise<string> => {
    const visitor = new Visitor(origin);
    const signIn = location(await visitor.visit(authorization({}, verifier)));
    const form = { email: "ada@example.com", password };
    const resumed = location(await visitor.visit(signIn, form));
    const consent = location(await visitor.visit(resumed));
    const back = location(await visitor.visit(`${consent}/consent`, { decision: "allow" }));
    const final = new URL(location(await visitor.visit(back)));
    assert.equal(final.origin + final.pathname, callback);
    assert.equal(final.searchParams.get("state"), "s");
    return final.searchParams.get("code") ?? "";
  };

  const token = async (
    form: Record<string, string>,
  ): Promise<{ status: number; body: Record<string, string> }> => {
    const response = await fetch(`${origin}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({ client_id: "countersign-wrangler", ...form }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, string> };
  };
  const redeem = (code: string, verifier: string) =>
    token({
      grant_type: "authorization_code",
      code,
      code_verifier: verifier,
      redirect_uri: callback,
    });
  const refresh = (refreshToken = "") =>
    token({ grant_type: "refresh_token", refresh_token: refreshToken });
  const works = async (access = ""): Promise<number> => {
    const headers = { authorization: `Bearer ${access}` };
    return (await fetch(`${platform.ready.api}/accounts`, { headers })).status;
  };

  it("asks for PKCE with SHA-256, a known client, and wrangler's address exactly", async () => {
    for (const change of [
      { code_challenge: null, code_challenge_method: null },
      { code_challenge_method: "plain" },
    ]) {
      const refused = new URL(location(await new Visitor(origin).visit(authorization(change))));
      assert.equal(refused.searchParams.get("error"), "invalid_request", JSON.stringify(change));
    }
    for (const change of [
      { redirect_uri: "http://localhost:8976/other" },
      { redirect_uri: "https://evil.example/oauth/callback" },
      { client_id: "nobody" },
    ]) {
      const page = await new Visitor(origin).visit(authorization(change));
      assert.equal(page.status, 400, JSON.stringify(change));
      assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
      assert.match(await page.text(), /That did not work/);
    }
  });

  it("a code works with its verifier, once; twice ends the login", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const code = await codeFor(verifier);
    const wrong = await redeem(await codeFor(verifier), "w".repeat(43));
    assert.equal(wrong.body["error"], "invalid_grant");
    const first = await redeem(code, verifier);
    assert.equal(first.status, 200);
    assert.equal(await works(first.body["access_token"]), 200);
    assert.equal((await redeem(code, verifier)).body["error"], "invalid_grant");
    assert.equal(await works(first.body["access_token"]), 401);
  });

  it("a code that is redeemed twice at once gives one login at most", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const code = await codeFor(verifier);
    const answers = await Promise.all([1, 2, 3, 4].map(() => redeem(code, verifier)));
    assert.ok(answers.filter(({ status }) => status === 200).length <= 1);
  });

  it("a refresh token works once; twice ends the login", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const first = await redeem(await codeFor(verifier), verifier);
    const second = await refresh(first.body["refresh_token"]);
    assert.equal(second.status, 200);
    assert.equal(await works(second.body["access_token"]), 200);
    assert.equal((await refresh(first.body["refresh_token"])).body["error"], "invalid_grant");
    assert.equal(await works(second.body["access_token"]), 401);
    assert.equal((await refresh(second.body["refresh_token"])).status, 400);
  });

  it("another password, or none any more, ends every login", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const { body } = await redeem(await codeFor(verifier), verifier);
    assert.equal(await works(body["access_token"]), 200);
    const argv = ["user", "password", "ada@example.com", "--data", platform.dataFolder, "--json"];
    const changed = JSON.parse((await countersign(argv)).stdout);
    assert.notEqual(changed.password, password);
    password = changed.password;
    assert.equal(await works(body["access_token"]), 401);
    assert.equal((await refresh(body["refresh_token"])).body["error"], "invalid_grant");
  });

  it("what strangers send writes nothing into the log", async () => {
    const head = await fetch(`${origin}/oauth2/jwks`, { method: "HEAD" });
    assert.equal(head.status, 405);
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname);
    const form = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 1000";
    socket.write(`POST /oauth2/token HTTP/1.1\r\nhost: x\r\n${form}\r\n\r\ngrant_type=`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.doesNotMatch(platform.log(), /Error/);
  });

  it("a login that was put into the database alone, or changed there, lets nobody in", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const { body } = await redeem(await codeFor(verifier), verifier);
    assert.equal(await works(body["access_token"]), 200);
    using database = new DatabaseSync(join(platform.dataFolder, "countersign.db"), {
      timeout: 5000,
    });
    const edit = (sql: string, ...values: string[]): void => {
      assert.ok(Number(database.prepare(sql).run(...values).changes) > 0);
    };
    const own = hash(body["access_token"]);
    const columns = "payload, user_id, grant_id, uid, consumed_on, expires_on, sealed_proof";
    const copy = `INSERT INTO oauth_records (model, id_hash, ${columns}) SELECT model, ?, ${columns} FROM oauth_records WHERE id_hash = ?`;
    edit(copy, hash("forged"), own);
    assert.equal(await works("forged"), 401);
    const scope = `UPDATE oauth_records SET payload = replace(payload, 'account:read', 'api_tokens:write') WHERE id_hash = ?`;
    edit(scope, own);
    assert.equal(await works(body["access_token"]), 401);
    const refreshed = hash(body["refresh_token"]);
    edit(
      "UPDATE oauth_records SET expires_on = '2099-01-01T00:00:00.000Z' WHERE id_hash = ?",
      refreshed,
    );
    assert.equal((await refresh(body["refresh_token"])).body["error"], "invalid_grant");
  });

  it("a form from another page, or without this browser's cookie, does nothing", async () => {
    const visitor = new Visitor(origin);
    const signIn = location(await visitor.visit(authorization()));
    const form = { email: "ada@example.com", password };
    const foreign = await visitor.visit(signIn, form, { origin: "https://evil.example" });
    assert.equal(foreign.status, 403);
    assert.equal((await new Visitor(origin).visit(signIn, form)).status, 400);
    const early = await visitor.visit(`${signIn}/consent`, { decision: "allow" });
    assert.equal(early.status, 400, "nobody has signed in");
    assert.equal((await visitor.visit(signIn, form)).status, 303, "the form itself is good");
  });

  it("ten wrong passwords for others keep nobody out who comes from the same address", async () => {
    const visitor = new Visitor(origin);
    const signIn = location(await visitor.visit(authorization()));
    for (let i = 0; i < 10; i++) {
      const wrong = await visitor.visit(signIn, { email: `no${i}@example.com`, password: "wrong" });
      assert.equal(wrong.status, 401);
    }
    assert.equal((await visitor.visit(signIn, { email: "ada@example.com", password })).status, 303);
  });

  it("wrong passwords are refused for a while, the right one too", async () => {
    const visitor = new Visitor(origin);
    const signIn = location(await visitor.visit(authorization()));
    const form = { email: "ada@example.com", password: "wrong" };
    const statuses = [];
    for (let i = 0; i < 12; i++) statuses.push((await visitor.visit(signIn, form)).status);
    assert.equal(statuses[0], 401);
    assert.equal(statuses.at(-1), 429);
    assert.equal((await visitor.visit(signIn, { ...form, password })).status, 429);
  });

  it("sign-ins are begun so often and no more, however the path is written, and keep little", async () => {
    const long = await new Visitor(origin).visit(authorization({ state: "x".repeat(7000) }));
    assert.equal(long.status, 400);
    const query = authorization().slice("/oauth2/auth".length);
    const paths = ["/oauth2/auth/", "/oauth2/AUTH", "/oauth2/auth", "/oauth2/Auth/"];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => new Visitor(origin).visit(paths[i % 4]! + query)),
    );
    const statuses = answers.map(({ status }) => status);
    assert.ok(statuses.filter((status) => status === 303).length <= 65, statuses.join(" "));
    const refused = answers.find(({ status }) => status === 429);
    assert.match((await refused?.text()) ?? "", /too many sign-ins were begun/);
  });
});

function authorization(
  change: Record<string, string | null> = {},
  verifier = "v".repeat(43),
): string {
  const parameters: Record<string, string | null> = {
    response_type: "code",
    client_id: "countersign-wrangler",
    redirect_uri: callback,
    scope: "account:read ssl_certs:write offline_access",
    state: "s",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...change,
  };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== null) query.set(name, value);
  return `/oauth2/auth?${query.toString()}`;
}

/** By which the database knows a token. */
function hash(secret = ""): string {
  return createHash("sha256").update(secret).digest("hex");
}

function location(response: Response): string {
  assert.equal(response.status, 303, `a status of ${response.status}`);
  return response.headers.get("location") ?? "";
}
