import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { URI } from "otpauth";
import { answerLogin } from "../helpers/cli-login.ts";
import { makeAuthority, type TestAuthority } from "../helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../helpers/platform.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";
import { scriptForm } from "../helpers/script-form.ts";
import { Person, root, shellBlocks, type Block } from "./reader.ts";

/** What another test follows: words of the block, or the whole page, and the test. */
const elsewhere: readonly (readonly [page: string, words: string, test: string])[] = [
  ["README.md", "", "test/readme.test.ts"],
  ["docs/guides/from-mocks-to-mtls.md", "", "test/dev-guide.test.ts"],
  // In a browser, which the wrangler of these lines opens.
  ["docs/access.md", "wrangler login", "test/access-login.test.ts"],
  // With Pebble as the server.
  ["docs/ingress.md", "countersign host acme", "test/acme/acme.test.ts"],
];

const blocks = shellBlocks();
const taken = new Set<Block>();

/** The one block of a page that has these words. Each block may be taken once. */
function block(page: string, words: string): string {
  const found = blocks.filter((one) => one.page === page && one.text.includes(words));
  assert.equal(found.length, 1, `${page} has ${found.length} blocks with "${words}"`);
  taken.add(found[0]!);
  return found[0]!.text;
}

const email = "ada@example.com";

describe("the commands in the docs work as they stand there", () => {
  let platform: TestPlatform;
  let authority: TestAuthority;
  let person: Person;

  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--https-port", "0"] });
    authority = await makeAuthority("Documented CA");
    const { api, token, accountId } = platform.ready;
    person = new Person({
      COUNTERSIGN_DATA: platform.dataFolder,
      CLOUDFLARE_API_BASE_URL: api,
      CLOUDFLARE_API_TOKEN: token,
      CLOUDFLARE_ACCOUNT_ID: accountId,
    });
    const client = await authority.issue({ subject: "CN=client" });
    const next = await authority.issue({ subject: "CN=client" });
    const tls = await authority.issue({
      subject: "CN=api.example.com",
      dns: ["api.example.com"],
    });
    person.write({
      "cert.pem": client.chain,
      "key.pem": client.key,
      "new.pem": next.chain,
      "new.key": next.key,
      "tls.crt": tls.chain,
      "tls.key": tls.key,
      "fullchain.pem": tls.chain,
      "privkey.pem": tls.key,
      "partners-ca.pem": authority.pem,
      "partners.crl": await authority.revoke([]),
      "letsencrypt/fullchain.pem": tls.chain,
      "letsencrypt/privkey.pem": tls.key,
      password: "a long enough password\n",
    });
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    person?.[Symbol.dispose]();
  });

  const deploy = async (name: string, code: string, metadata: object = {}): Promise<void> => {
    const modules = { "index.js": ["application/javascript+module", code] as [string, string] };
    const form = scriptForm({ compatibility_date: "2026-11-01", ...metadata }, modules);
    const path = `/accounts/{account}/workers/scripts/${name}`;
    const { status, json } = await platform.api("PUT", path, form);
    assert.equal(status, 200, JSON.stringify(json));
  };

  it("access.md: tokens, people, accounts and what was done", async () => {
    await person.run(block("docs/access.md", "countersign token create"));
    const people = block("docs/access.md", "countersign user add");
    assert.match((await person.run(people)).stdout, /Shop/);
    const { stdout } = await person.run(block("docs/access.md", "countersign audit verify"));
    assert.match(stdout, /user\.create/);
    await person.run(block("docs/access.md", "countersign access token"));
  });

  it("cli.md: a person signs in, and is asked who they are", async () => {
    await person.run(
      "countersign user add bo@example.com --role admin --password-stdin < password",
    );
    const code = block("docs/cli.md", "countersign login");
    const [login = "", whoami = "", logout = ""] = code.trim().split("\n");
    const { api } = platform.ready;
    const line = login.replace(
      "https://countersign.example",
      `${new URL(api).origin} --no-browser`,
    );
    await signIn(line, "bo@example.com");
    const named = await person.run(`unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN\n${whoami}`);
    assert.match(named.stdout, /bo@example\.com/);
    await person.run(logout);
    const completed = block("docs/cli.md", "completion bash");
    person.write({ ".config/fish/completions/empty": "" });
    await person.run(completed);
    assert.match(person.read(".config/fish/completions/countersign.fish"), /complete/);
  });

  /** A login's command line, and what its person does in the browser meanwhile. */
  const signIn = async (line: string, who: string, code?: string): Promise<void> => {
    const own = "unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN CLOUDFLARE_API_BASE_URL\n";
    const seen = Promise.withResolvers<string>();
    const done = person.run(own + line, {
      onSaid: (said) => {
        const [, url] = /Sign in here: (\S+)\n/.exec(said) ?? [];
        if (url) seen.resolve(url);
      },
    });
    const url = await Promise.race([seen.promise, done.then(() => "")]);
    await answerLogin(url, {
      email: who,
      password: "a long enough password",
      ...(code && { code }),
    });
    await done;
  };

  it("access.md: people look after their own sign-in", async () => {
    const code = block("docs/access.md", "countersign user totp add");
    await person.run(`countersign user add ${email} --role admin --password-stdin < password`);
    const login = `countersign login ${new URL(platform.ready.api).origin} --no-browser`;
    await signIn(login, email);
    const own = "unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN CLOUDFLARE_API_BASE_URL\n";
    const lines = code.trim().split("\n");
    const passwords = { OLD: "a long enough password", NEW: "a long enough password" };
    assert.match(lines[0]!, /"\$OLD" "\$NEW"/);
    await person.run(own + lines[0]!, { env: passwords });
    const added = await person.run(own + lines[1]!);
    const [uri = ""] = /otpauth:\S+/.exec(added.stdout) ?? [];
    const totp = URI.parse(uri) as import("otpauth").TOTP;
    const confirmed = await person.run(own + lines[2]!.replace("123456", totp.generate()));
    const [recovery] = /\b[a-z0-9]{4,}-[a-z0-9-]+\b/.exec(confirmed.stdout) ?? [];
    assert.ok(recovery, confirmed.stdout);
    await signIn(login, email, recovery);
    await person.run(own + lines[3]!);
    const listed = await person.run(`${own}countersign user sessions --json`);
    const sessions = JSON.parse(listed.stdout) as { id: string; current: boolean }[];
    const other = sessions.find(({ current }) => !current)?.id ?? "";
    await person.run(own + lines[4]!.replace(/\bID\b/, other));
    await person.run(own + lines[5]!);
    await person.run(`${own}countersign logout`);
  });

  it("every start that is shown is one", async () => {
    const shown: readonly [string, string][] = [
      ["docs/access.md", "--audit-days"],
      ["docs/platform.md", "--worker-processes"],
      ["docs/platform.md", "--gateway-processes"],
      ["docs/platform.md", "--idle-after"],
      ["docs/security.md", "--sandbox required"],
      ["docs/security.md", "--worker-memory"],
      ["docs/security.md", "--api-cert"],
      ["docs/security.md", "--trusted-proxies"],
    ];
    const lines = shown.flatMap(([page, words]) => block(page, words).trim().split("\n"));
    for (const line of lines) await person.starts(line);
    const ports = block("docs/platform.md", "--worker-socket");
    const socket = join(person.folder, "shop.sock");
    await person.starts(
      ports.trim().replace("=8080", "=0").replace("/run/countersign/shop.sock", socket),
    );
  });

  it("certificates.md: upload, rotation, roll back, and a folder that is followed", async () => {
    await person.run(block("docs/certificates.md", "countersign certificate rotate"));
    const folder = join(person.folder, "live");
    person.write({ "live/fullchain.pem": person.read("new.pem") });
    person.write({ "live/privkey.pem": person.read("new.key") });
    const watched = block("docs/certificates.md", "watch-folder");
    await person.run(watched.replace("/etc/letsencrypt/live/example.com", folder));
  });

  it("client-certificates.md: a host asks its clients, and knows what was revoked", async (t) => {
    const [start = "", ...rest] = block("docs/client-certificates.md", "--https-port 4443")
      .trim()
      .split("\n");
    const free = start.replace("4443", "0");
    await person.starts(`${free} --api-port 0 --http-port 0`);
    await person.run(rest.join("\n"));
    await person.run(block("docs/client-certificates.md", "--ca managed"));
    const list = await authority.revoke([]);
    const server = createServer((_, response) => void response.end(list)).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const lists = block("docs/client-certificates.md", "host crl");
    const { stdout } = await person.run(
      lists.replace("https://pki.example.com/partners.crl", `http://127.0.0.1:${port}`),
    );
    assert.match(stdout, /Documented CA/);
  });

  it("ingress.md: hosts have certificates, from files, a folder and ACME, and origins", async () => {
    const page = "docs/ingress.md";
    await person.run(block(page, "countersign trust --print"));
    const certificate = block(page, "countersign host certificate api.example.com --cert");
    assert.match((await person.ends(certificate)).stdout, /api\.example\.com/);
    const folder = join(person.folder, "letsencrypt");
    const followed = block(page, "--folder");
    await person.run(followed.replace("/etc/letsencrypt/live/api.example.com", folder));
    const origin = block(page, "host origin api.example.com");
    await person.run(origin);
    const authorityFile = block(page, "host origin-ca");
    await person.run(authorityFile);
    assert.match(person.read("origin-pull-ca.pem"), /BEGIN CERTIFICATE/);
  });

  it("platform.md and keys.md: proxies, a new master key, a backup and its restore", async () => {
    const platformPage = "docs/platform.md";
    const { stdout } = await person.run(block(platformPage, "openssl rand"));
    assert.equal(Buffer.from(stdout, "base64").length, 32);
    await person.run(block(platformPage, "countersign ingress config"));
    assert.match(person.read("shop.conf"), /server_name/);
    const [own = "", other = "", status = ""] = block("docs/keys.md", "keys rotate")
      .trim()
      .split("\n");
    await person.run(`${own}\n${status}`);
    // The second is for a platform whose key comes from elsewhere.
    const wrong = await person.ends(`openssl rand -base64 32 > new.key\n${other}`);
    assert.notEqual(wrong.status, 0);
    const [save = "", bring = ""] = block("docs/keys.md", "countersign backup").trim().split("\n");
    const file = join(person.folder, "countersign.db");
    await person.run(save.replace("/backup/countersign.db", file));
    const restored = join(person.folder, "restored");
    const line = bring.replace("/backup/countersign.db", file);
    await person.run(line.replace("/var/lib/countersign", restored));
    assert.ok(existsSync(restored));
  });

  it("identities.md: identities, policies, the CA, and others' certificates", async () => {
    const page = "docs/identities.md";
    const bindings = [{ type: "mtls_certificate", name: "ME", certificate_id: "identity" }];
    const code = "export default { fetch: () => new Response('') };";
    await deploy("orders", code, { bindings });
    const { stdout } = await person.run(block(page, "countersign identity show"));
    assert.match(stdout, /orders/);
    const text = readFileSync(join(root, page), "utf8");
    const [, policy = ""] = /```json\n(\{\s*"allow".*?)```/s.exec(text) ?? [];
    person.write({ "policy.json": policy });
    const [set = "", explain = "", log = ""] = block(page, "policy set").trim().split("\n");
    await person.run(set);
    assert.equal((await person.ends(explain)).status, 1, "it shows a refusal");
    await person.run(log);
    await person.run(
      `openssl req -newkey rsa:2048 -nodes -subj /CN=ada -keyout ada.key -out ada.csr`,
    );
    const [issue = "", withdraw = ""] = block(page, "identity issue").trim().split("\n");
    await person.run(issue);
    const { stdout: printed } = await person.run("openssl x509 -in ada.crt -noout -serial");
    await person.run(withdraw.replace("4F0A11", printed.trim().split("=")[1]!));
    await person.run(block(page, "identity revoke"));
    await person.run(block(page, "identity ca retire"));
    const root_ = block(page, "identity ca root");
    await person.run(root_.replace("ACCOUNT_ID", platform.ready.accountId));
  });

  it("identities.md: the sidecar, and configurations for proxies", async () => {
    const page = "docs/identities.md";
    const here = (line: string): string =>
      line
        .replace("https://cs.example:4400/client/v4", platform.ready.api)
        .replace("ACCOUNT_ID", platform.ready.accountId)
        .replace("/etc/nginx/conf.d", person.folder)
        .replace(/--exec '[^']*'/, "--exec true");
    for (const line of block(page, "countersign origin serve").trim().split("\n")) {
      const free = line.includes("--listen")
        ? line.replace("0.0.0.0:5433", "127.0.0.1:0")
        : `${line} --listen 127.0.0.1:0`;
      await person.until(`${here(free)} --json`, /"url":/);
    }
    const [once = "", followed = ""] = block(page, "origin config nginx").trim().split("\n");
    assert.match((await person.run(here(once))).stdout, /ssl_verify_client/);
    await person.until(here(followed), /./);
  });

  it("in-process.md, events.md, observability.md: a Worker's bindings, crons and logs", async () => {
    const [id = ""] = /[0-9a-f-]{36}/.exec(
      (await person.run("countersign certificate show my-cert --json")).stdout,
    ) ?? [""];
    const bindings = [{ type: "mtls_certificate", name: "PAYMENTS", certificate_id: id }];
    const code = `export default {
      fetch(request) {
        console.log("asked");
        if (request.method === "POST") throw new Error("for the tail");
        return new Response("ok");
      },
      scheduled() {},
    };`;
    await deploy("shop", code, { bindings });
    await person.run(block("docs/in-process.md", "binding set shop"));
    await deploy("reports", code);
    const crons = [{ cron: "*/15 * * * *" }];
    await platform.api("PUT", "/accounts/{account}/workers/scripts/reports/schedules", crons);
    await person.run(block("docs/events.md", "cron run reports"));
    const { headers } = await platform.worker("shop");
    const logs = block("docs/observability.md", "countersign logs shop").trim().split("\n");
    assert.match(logs[2]!, /--follow/);
    await person.until(logs[2]!.split("#")[0]!, /asked/);
    logs.splice(2, 1);
    const ray = String(headers["cf-ray"]).split("-")[0]!;
    await person.run(logs.join("\n").replace("5f2c0a9b8d7e6f10", ray));
    const tails = block("docs/observability.md", "wrangler tail shop").trim().split("\n");
    for (const line of tails) await tailed(line);
  });

  /** What wrangler prints of requests that go on until it does: it samples. */
  const tailed = async (line: string): Promise<void> => {
    let seen = false;
    const asking = async (): Promise<void> => {
      while (!seen) {
        const { http } = platform.ready;
        await fetch(http, { method: "POST", headers: { host: "shop.localhost" } }).then(
          (response) => response.text(),
        );
      }
    };
    const asked = asking();
    try {
      await person.until(line, /POST/, { signal: "SIGINT" });
    } finally {
      seen = true;
    }
    await asked;
  };

  it("development.md and databases.md: a project, its origin, and a database", async () => {
    const page = "docs/development.md";
    const own = new Person();
    try {
      own.write({
        "wrangler.json": JSON.stringify({
          name: "local",
          main: "index.js",
          compatibility_date: "2026-11-01",
        }),
        "index.js": "export default { fetch: () => new Response('') };",
        "package.json": '{ "name": "local" }',
      });
      await own.run(block(page, "countersign init").replace("init", "init --yes"));
      const origin = block(page, "countersign dev origin").trim();
      await own.until(`${origin} --port 0 --json`, /"ready":true/);
      const [dev] = blocks.filter((one) => one.page === page && /dev\n$/.test(one.text));
      taken.add(dev!);
      await own.until(`${dev!.text.trim()} --port 0 --inspector-port 0`, /Ready on/);
      const database = block("docs/databases.md", "countersign dev database").trim();
      if (!withoutPostgres) await own.until(`${database} --port 0 --json`, /"ready":true/);
    } finally {
      own[Symbol.dispose]();
    }
  });

  it("storage.md and events.md: wrangler makes what Workers keep, and queues", async () => {
    person.write({
      "files/hello.txt": "hello",
      "hello.txt": "hello",
      "migrations/0001_people.sql": "CREATE TABLE people (id INTEGER PRIMARY KEY);",
    });
    const lines = block("docs/storage.md", "wrangler kv namespace create").trim().split("\n");
    for (const line of lines) {
      const made = await person.run(line);
      const [, id] = /"database_id": "([^"]+)"/.exec(made.stdout) ?? [];
      if (id) {
        const databases = [{ binding: "DB", database_name: "people", database_id: id }];
        person.write({
          "wrangler.json": JSON.stringify({ name: "storing", d1_databases: databases }),
        });
      }
    }
    const text = readFileSync(join(root, "docs/events.md"), "utf8");
    const queue = [...text.matchAll(/```jsonc\n(.*?)```/gs)].find(([, one]) =>
      one!.includes('"queues"'),
    )![1]!;
    const [, main = ""] = /"main": "([^"]+)"/.exec(queue) ?? [];
    person.write({
      "wrangler.json": queue,
      [main]: "export default { async queue() {}, fetch: () => new Response('') };",
    });
    await person.run(block("docs/events.md", "queues create jobs"));
  });

  it(
    "databases.md: a database by wrangler, and step by step",
    { skip: withoutPostgres },
    async (t) => {
      const server = await startPostgres(t, authority);
      const { chain, key } = await authority.issue({ subject: "CN=client" });
      person.write({ "client.pem": chain, "client-key.pem": key, "db-ca.pem": authority.pem });
      const [upload = "", ca = "", create = ""] = block("docs/databases.md", "hyperdrive create")
        .trim()
        .split("\n");
      const idOf = (said: string): string => /ID: (\S+)/.exec(said)![1]!;
      const ids = [idOf((await person.run(upload)).stdout), idOf((await person.run(ca)).stdout)];
      const database = `client:PASSWORD@localhost:${server.port}/postgres`;
      await person.run(
        create
          .replace("shop:PASSWORD@db.example.com:5432/shop", database)
          .replace(/\bID\b/, ids[0]!)
          .replace(/\bID\b/, ids[1]!),
      );
      const steps = block("docs/databases.md", "countersign hyperdrive test");
      const { stdout } = await person.run(
        steps.replace("db.example.com:5432", `localhost:${server.port}`),
      );
      assert.match(stdout, /signed in/);
    },
  );
});

it("every block of shell in the docs is followed by a test", () => {
  const scripts = Object.keys(
    (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }).scripts,
  );
  const left = blocks.filter(
    (one) => !taken.has(one) && !followedElsewhere(one) && !onlyScripts(one.text, scripts),
  );
  assert.deepEqual(
    left.map(({ name, text }) => `${name}: ${text.split("\n")[0]}`),
    [],
  );
  for (const [, , file] of elsewhere) assert.ok(existsSync(join(root, file)), file);
});

function followedElsewhere({ page, text }: Block): boolean {
  return elsewhere.some(([where, words]) => where === page && text.includes(words));
}

/** Our own scripts: that there are such is what can be said in a test that is one of them. */
function onlyScripts(text: string, scripts: readonly string[]): boolean {
  return text
    .trim()
    .split("\n")
    .every((line) => {
      const [, name] = /^npm (?:run )?([\w:]+)/.exec(line) ?? [];
      return (
        line.startsWith("npm ci") ||
        line === "bash .ci/run        # what CI does, from a bare machine" ||
        (name && scripts.includes(name))
      );
    });
}
