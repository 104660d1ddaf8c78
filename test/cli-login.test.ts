import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { main } from "../src/cli/main.ts";
import { answerLogin } from "./helpers/cli-login.ts";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("countersign login", () => {
  let platform: TestPlatform;
  let home: string;
  let password: string;
  before(async () => {
    home = mkdtempSync(join(tmpdir(), "countersign-login-"));
    platform = await startPlatform();
    const argv = ["user", "add", "ada@example.com", "--role", "admin"];
    const added = await countersign([...argv, "--data", platform.dataFolder, "--json"]);
    password = JSON.parse(added.stdout).password;
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  const env = () => ({ XDG_CONFIG_HOME: home, XDG_DATA_HOME: join(home, "data") });
  const run = (...argv: readonly string[]) => countersign(argv, { env: env() });
  const file = () => join(home, "countersign/login.json");

  /** Does what a person does in a browser, at the address that the command prints. */
  const login = async (decision: "allow" | "deny"): Promise<number> => {
    const stderr = new PassThrough();
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done() });
    const { origin } = new URL(platform.ready.api);
    const io = { stderr, stdout, env: { ...env(), PATH: "" }, cwd: home };
    const status = main(["login", origin, "--no-browser"], io);
    const url = await new Promise<string>((resolve) => {
      let said = "";
      stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const [, found] = /Sign in here: (\S+)\n/.exec(said) ?? [];
        if (found) resolve(found);
      });
    });
    // Any page of the browser could do this.
    const callback = new URL(new URL(url).searchParams.get("redirect_uri")!);
    callback.search = "?state=forged&code=forged";
    assert.equal((await fetch(callback)).status, 400);
    await answerLogin(url, { email: "ada@example.com", password, decision });
    return status;
  };

  test("signs a person in, readable by this user only, and commands act as that person", async () => {
    assert.equal(await login("allow"), 0);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    const whoami = JSON.parse((await run("whoami", "--json")).stdout);
    assert.equal(whoami.email, "ada@example.com");
    assert.equal(whoami.from, "countersign login");
    assert.equal((await run("certificate", "list")).status, 0);
  });

  test("renews itself, and what it gives is kept", async () => {
    const kept = JSON.parse(readFileSync(file(), "utf8"));
    writeFileSync(file(), JSON.stringify({ ...kept, expiresOn: "2020-01-01T00:00:00.000Z" }));
    assert.equal((await run("whoami")).status, 0);
    const renewed = JSON.parse(readFileSync(file(), "utf8"));
    assert.notEqual(renewed.refreshToken, kept.refreshToken);
    assert.ok(Date.parse(renewed.expiresOn) > Date.now());
  });

  test("is renewed once by commands that run at the same time, and goes on", async () => {
    const kept = JSON.parse(readFileSync(file(), "utf8"));
    writeFileSync(file(), JSON.stringify({ ...kept, expiresOn: "2020-01-01T00:00:00.000Z" }));
    const all = await Promise.all(Array.from({ length: 4 }, () => run("whoami", "--json")));
    assert.deepEqual(
      all.map(({ status }) => status),
      [0, 0, 0, 0],
      all.map(({ stdout, stderr }) => stdout + stderr).join(""),
    );
    assert.equal(statSync(`${file()}.lock`).mode & 0o777, 0o600);
    // Twice with one refresh token would have ended it.
    assert.equal((await run("whoami")).status, 0);
  });

  test("an address where no platform answers is told before a browser opens", async () => {
    await using other = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const unlike = await run("login", `http://127.0.0.1:${port}`, "--no-browser", "--json");
    assert.equal(JSON.parse(unlike.stdout).error.code, "platform_unlike");
    const nobody = await run("login", "http://127.0.0.1:1", "--no-browser", "--json");
    assert.equal(JSON.parse(nobody.stdout).error.code, "platform_not_running");
    assert.doesNotMatch(unlike.stderr + nobody.stderr, /Sign in here/);
  });

  test("logout forgets it here and ends it there", async () => {
    const { accessToken } = JSON.parse(readFileSync(file(), "utf8"));
    assert.equal((await run("logout")).status, 0);
    assert.throws(() => statSync(file()));
    const headers = { authorization: `Bearer ${accessToken}` };
    assert.equal((await fetch(`${platform.ready.api}/user`, { headers })).status, 401);
    assert.equal((await run("whoami")).status, 3);
  });

  test("a person who does not allow it is not signed in", async () => {
    assert.equal(await login("deny"), 1);
    assert.throws(() => statSync(file()));
  });
});
