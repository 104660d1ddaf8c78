import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { URI } from "otpauth";
import { writeLogin } from "../src/cli/client/login-file.ts";
import type { Io } from "../src/terminal/io.ts";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { Visitor } from "./helpers/visitor.ts";

const email = "ada@example.com";
const callback = "http://127.0.0.1:1/oauth/callback";

describe("a person's own sign-in", () => {
  let platform: TestPlatform;
  let password: string;
  let home: string;
  let env: Record<string, string>;
  let origin: string;
  before(async () => {
    platform = await startPlatform();
    home = mkdtempSync(join(tmpdir(), "countersign-own-"));
    env = { HOME: home, XDG_CONFIG_HOME: home };
    origin = new URL(platform.ready.api).origin;
    const data = ["--data", platform.dataFolder, "--json"];
    const added = await countersign(["user", "add", email, "--role", "admin", ...data]);
    password = JSON.parse(added.stdout).password;
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(home, { recursive: true });
  });

  /** Submits the sign-in page and the pages after it. @returns null if they did not lead to the end */
  const signIn = async (...forms: readonly Record<string, string>[]): Promise<string | null> => {
    const visitor = new Visitor(origin);
    const verifier = randomBytes(32).toString("base64url");
    const page = location(await visitor.visit(authorization(verifier)));
    let answer: Response | null = null;
    for (const form of forms) answer = await visitor.visit(page, form);
    if (answer?.status !== 303) return null;
    const consent = location(await visitor.visit(location(answer)));
    const back = location(await visitor.visit(`${consent}/consent`, { decision: "allow" }));
    const code = new URL(location(await visitor.visit(back))).searchParams.get("code") ?? "";
    const response = await fetch(`${origin}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({
        client_id: "countersign-cli",
        grant_type: "authorization_code",
        code,
        code_verifier: verifier,
        redirect_uri: callback,
      }),
    });
    const tokens = (await response.json()) as { access_token: string; refresh_token: string };
    writeLogin({ env } as unknown as Io, {
      api: platform.ready.api,
      accessToken: tokens.access_token,
      refreshToken: tokens.refresh_token,
      expiresOn: new Date(Date.now() + 3_600_000).toISOString(),
      accountId: platform.ready.accountId,
    });
    return tokens.access_token;
  };

  const cli = async (
    argv: readonly string[],
    stdin = "",
  ): Promise<{ status: number; said: string }> => {
    const run = await countersign(["user", ...argv], { stdin, cwd: home, env });
    return { status: run.status, said: run.stdout + run.stderr };
  };
  const works = async (token: string | null): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${platform.ready.api}/accounts`, { headers })).status;
  };
  const actions = async (): Promise<readonly string[]> => {
    const { stdout } = await countersign([
      "audit",
      "list",
      "--json",
      "--data",
      platform.dataFolder,
    ]);
    return JSON.parse(stdout).map((entry: { action: string; after?: { state?: string } }) =>
      `${entry.action} ${entry.after?.state ?? ""}`.trim(),
    );
  };

  it("a password is changed by who knows it, and other logins end", async () => {
    const first = await signIn({ email, password });
    const second = await signIn({ email, password });
    const argv = ["password", "--password-stdin", "--json"];
    const wrong = await cli(argv, "not it\nanother password 1\n");
    assert.equal(wrong.status, 1);
    assert.match(wrong.said, /sign_in_failed/);
    assert.equal((await cli(argv, `${password}\nshort\n`)).status, 1);
    const { status, said } = await cli(argv, `${password}\nanother password 1\n`);
    assert.equal(status, 0, said);
    assert.deepEqual([await works(first), await works(second)], [401, 200]);
    assert.equal(await signIn({ email, password }), null);
    password = "another password 1";
    assert.ok((await actions()).includes("user.password"));
  });

  it("an API token, even one with every scope, changes nothing of a person", async () => {
    for (const [method, path] of [
      ["PUT", "/password"],
      ["GET", "/sessions"],
      ["POST", "/second_factor"],
    ] as const) {
      const body = { current: password, password: "another password 2" };
      const answer = await platform.api(
        method,
        `/user/countersign${path}`,
        method === "GET" ? undefined : body,
      );
      assert.equal(answer.status, 403, path);
    }
  });

  it("logins are listed and ended, one's own by the person, anybody's by the owner of the data", async () => {
    const earlier = await signIn({ email, password });
    const now = await signIn({ email, password });
    const listed = JSON.parse((await cli(["sessions", "--json"])).said);
    const other = listed.find((one: { current: boolean }) => !one.current);
    assert.equal(listed.filter((one: { current: boolean }) => one.current).length, 1);
    assert.equal((await cli(["sessions", "end", other.id])).status, 0);
    assert.equal((await cli(["sessions", "end", other.id])).status, 1, "it has ended");
    assert.equal(await works(now), 200);
    const data = ["--data", platform.dataFolder, "--json"];
    const all = await countersign(["user", "sessions", "list", email, ...data]);
    for (const { id } of JSON.parse(all.stdout)) {
      assert.equal((await countersign(["user", "sessions", "end", id, email, ...data])).status, 0);
    }
    assert.deepEqual([await works(earlier), await works(now)], [401, 401]);
    assert.ok((await actions()).includes("user.session"));
  });

  it("with an authenticator app a sign-in needs a code, each once, or a recovery code, each once", async () => {
    await signIn({ email, password });
    const { said } = await cli(["totp", "add", "--password-stdin", "--json"], `${password}\n`);
    const totp = URI.parse(JSON.parse(said).uri) as import("otpauth").TOTP;
    assert.equal(totp.issuer, "Countersign");
    assert.notEqual(await signIn({ email, password }), null, "not in force before it is confirmed");
    assert.equal((await cli(["totp", "confirm", "000000x"])).status, 1);
    const code = totp.generate();
    const confirmed = await cli(["totp", "confirm", code, "--json"]);
    const { recovery_codes: codes } = JSON.parse(confirmed.said);
    assert.equal(codes.length, 10);

    assert.equal(await signIn({ email, password }), null, "the password alone");
    assert.equal(await signIn({ email, password }, { code }), null, "used before");
    const next = totp.generate({ timestamp: Date.now() + 30_000 });
    assert.notEqual(await signIn({ email, password }, { code: next }), null);
    assert.equal(await signIn({ code: codes[0] }), null, "no password came before it");
    assert.notEqual(await signIn({ email, password }, { code: codes[0] }), null);
    assert.equal(await signIn({ email, password }, { code: codes[0] }), null, "used before");

    const again = await cli(["totp", "add", "--password-stdin"], `${password}\n`);
    assert.match(again.said, /enrolled already/);
    const removed = await cli(["totp", "remove", "--password-stdin"], `${password}\n`);
    assert.equal(removed.status, 0, removed.said);
    assert.notEqual(await signIn({ email, password }), null);
    const log = await actions();
    for (const state of ["begun", "in force", "a recovery code was used", "removed"]) {
      assert.ok(log.includes(`user.factor ${state}`), state);
    }
  });
});

function authorization(verifier: string): string {
  const query = new URLSearchParams({
    client_id: "countersign-cli",
    response_type: "code",
    redirect_uri: callback,
    scope: "account:read user:read offline_access",
    state: "s",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  return `/oauth2/auth?${query.toString()}`;
}

function location(response: Response): string {
  const to = response.headers.get("location");
  assert.ok(to, `${response.status} leads nowhere`);
  return to;
}
