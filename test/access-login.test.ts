import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, noBrowser } from "./helpers/browser.ts";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject, type WranglerProject, type WranglerRun } from "./helpers/wrangler.ts";
import { freePort } from "./helpers/free-port.ts";

const email = "ada@example.com";

describe("wrangler login, in a browser", { skip: noBrowser }, () => {
  let dataFolder: string;
  let platform: TestPlatform;
  let project: WranglerProject;
  let browser: Browser;
  let password: string;
  let env: Record<string, string>;
  let callbackPort: number;

  before(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), "countersign-login-"));
    platform = await startPlatform({ dataFolder });
    const data = ["--data", dataFolder, "--json"];
    const added = await countersign(["user", "add", email, "--role", "deployer", ...data]);
    password = JSON.parse(added.stdout).password;
    env = JSON.parse((await countersign(["env", "--login", ...data])).stdout);
    project = await wranglerProject({ api: platform.ready.api, token: "" });
    callbackPort = await freePort("localhost");
    // wrangler tells the browser to use port 8976, whichever port it listens on.
    browser = await launchBrowser({ "localhost:8976": `localhost:${callbackPort}` });
  });
  after(async () => {
    await browser.close();
    await platform[Symbol.asyncDispose]();
    await project[Symbol.asyncDispose]();
    await rm(dataFolder, { recursive: true, force: true });
  });

  const wrangler = (...args: string[]): Promise<WranglerRun> => project.run(args, { env });

  /** Runs `wrangler login` and does in the browser what a person would. */
  const login = async (act: (page: Page) => Promise<void>): Promise<WranglerRun> => {
    const link = Promise.withResolvers<string>();
    const run = project.run(["login", "--no-browser", "--callback-port", String(callbackPort)], {
      env,
      onLine: (line) => {
        const [, url] = /Visit this link to authenticate: (\S+)/.exec(line) ?? [];
        if (url) link.resolve(url);
      },
    });
    const url = await Promise.race([
      link.promise,
      run.then(({ output }) => Promise.reject(new Error(output))),
    ]);
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(url);
      await act(page);
      return await run;
    } finally {
      await context.close();
    }
  };

  const stored = (): Promise<string> =>
    readFile(join(project.folder, "..", "home", ".wrangler", "config", "default.toml"), "utf8");

  const tokens = async (): Promise<{ access: string; refresh: string }> => {
    const toml = await stored();
    const value = (name: string): string =>
      new RegExp(`^${name} = "([^"]+)"$`, "m").exec(toml)?.[1] ?? "";
    return { access: value("oauth_token"), refresh: value("refresh_token") };
  };

  const verify = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${platform.ready.api}/accounts`, { headers })).status;
  };

  it("what a person does not allow, wrangler does not get", async () => {
    const run = await login(async (page) => {
      await signIn(page, password);
      await page.getByRole("button", { name: "Deny" }).click();
    });
    assert.notEqual(run.exitCode, 0);
    assert.match(run.output, /Consent denied/);
    await assert.rejects(stored(), /ENOENT/);
  });

  it("a wrong password is said, a right one leads on to what is asked for, and back to wrangler", async () => {
    const visited: string[] = [];
    const run = await login(async (page) => {
      page.on("request", (request) => visited.push(request.url()));
      const box = await page.locator("main").boundingBox();
      assert.equal(box?.width, 440, "the style sheet is not in force");
      await shot(page, "sign-in");
      await signIn(page, "not the password");
      await page.getByRole("alert").waitFor();
      assert.match((await page.getByRole("alert").textContent()) ?? "", /password is wrong/);
      assert.equal(await page.getByLabel("E-mail address").inputValue(), email);
      await shot(page, "sign-in-wrong");
      await signIn(page, password);
      await page.getByRole("heading", { name: "Let Wrangler act for you?" }).waitFor();
      const body = (await page.locator("main").textContent()) ?? "";
      assert.match(body, /a deployer of Countersign/);
      assert.match(
        body,
        /Deploy, change and delete Workers and their secrets\s+workers_scripts:write/,
      );
      assert.match(body, /beyond your role: 1\s+ssl_certs:write/);
      assert.match(body, /queues:write/);
      await shot(page, "consent");
      await page.emulateMedia({ colorScheme: "dark" });
      await shot(page, "consent-dark");
      await page.getByRole("button", { name: "Allow" }).click();
    });
    assert.equal(run.exitCode, 0, run.output);
    assert.match(run.output, /Successfully logged in/);
    assert.ok(visited.some((url) => url.startsWith("http://localhost:8976/oauth/callback?code=")));
    assert.ok(
      visited.some((url) => url.startsWith("https://welcome.developers.workers.dev/")),
      "the browser did not follow wrangler to its closing page",
    );
    const elsewhere = visited.filter(
      (url) =>
        ![
          platform.ready.api,
          "http://localhost:8976",
          "https://welcome.developers.workers.dev",
        ].some((known) => url.startsWith(new URL(known).origin)),
    );
    assert.deepEqual(elsewhere, []);
  });

  it("whoami and mtls-certificate work with the login alone", async () => {
    const who = await wrangler("whoami");
    assert.equal(who.exitCode, 0, who.output);
    assert.match(who.output, /associated with the email ada@example\.com/);
    assert.match(who.output, new RegExp(platform.ready.accountId));
    assert.doesNotMatch(who.output, /missing some expected Oauth scopes/);
    const list = await wrangler("mtls-certificate", "list");
    assert.equal(list.exitCode, 0, list.output);
    const upload = await fetch(
      `${platform.ready.api}/accounts/${platform.ready.accountId}/mtls_certificates`,
      {
        method: "POST",
        body: "{}",
        headers: { authorization: `Bearer ${(await tokens()).access}` },
      },
    );
    assert.equal(upload.status, 403, "the role of a deployer does not include certificates");
    assert.match(await upload.text(), /your role, deployer, does not include ssl_certs:write/);
  });

  it("no token, code or session is readable in the database", async () => {
    const { access, refresh } = await tokens();
    const files = await Promise.all(
      ["countersign.db", "countersign.db-wal"].map((name) => readFile(join(dataFolder, name))),
    );
    for (const secret of [access, refresh, password]) {
      assert.ok(secret.length > 20);
      assert.ok(files.every((file) => !file.includes(secret)));
    }
  });

  it("after a restart, wrangler refreshes what has expired, once", async () => {
    const { port } = new URL(platform.ready.api);
    const token = platform.ready.token;
    await platform[Symbol.asyncDispose]();
    platform = await startPlatform({ dataFolder, args: ["--api-port", port], token });
    const first = await tokens();
    const toml = await stored();
    await writeFile(
      join(project.folder, "..", "home", ".wrangler", "config", "default.toml"),
      toml.replace(/^expiration_time = .*$/m, 'expiration_time = "2020-01-01T00:00:00.000Z"'),
    );
    const list = await wrangler("mtls-certificate", "list");
    assert.equal(list.exitCode, 0, list.output);
    const second = await tokens();
    assert.notEqual(second.access, first.access);
    assert.notEqual(second.refresh, first.refresh);
    assert.equal(await verify(second.access), 200);
  });

  it("logout revokes the access token, too, and the audit log records it", async () => {
    const { access } = await tokens();
    assert.equal(await verify(access), 200);
    const run = await wrangler("logout");
    assert.equal(run.exitCode, 0, run.output);
    assert.equal(await verify(access), 401);
    const { stdout } = await countersign(["audit", "list", "--json", "--data", dataFolder]);
    const entries = JSON.parse(stdout) as {
      action: string;
      by: { email: string; address: string };
    }[];
    const logins = entries.filter(({ by }) => by.email === email);
    assert.deepEqual(
      logins.map(({ action }) => action),
      ["login.revoke", "login.token", "login.token", "login.grant"],
    );
    assert.ok(logins.every(({ by }) => by.address === "127.0.0.1"));
    const verified = await countersign(["audit", "verify", "--data", dataFolder]);
    assert.equal(verified.status, 0, verified.stderr);
  });
});

async function signIn(page: Page, secret: string): Promise<void> {
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Screenshots for people to look at: set SCREENSHOTS to a folder. */
async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env["SCREENSHOTS"];
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
