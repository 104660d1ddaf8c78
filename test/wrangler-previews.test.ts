import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject, type WranglerProject, type WranglerRun } from "./helpers/wrangler.ts";

let platform: TestPlatform;
before(async () => (platform = await startPlatform()));
after(() => platform[Symbol.asyncDispose]());

const saying = (text: string): string =>
  `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

async function deployed(name: string, text: string, more: object = {}): Promise<WranglerProject> {
  const project = await wranglerProject(platform.ready, {
    "wrangler.jsonc": { name, main: "index.js", compatibility_date: "2026-11-01", ...more },
    "index.js": text,
  });
  await ran(project, "deploy");
  return project;
}

async function ran(project: WranglerProject, ...args: string[]): Promise<WranglerRun> {
  const run = await project.run(args);
  assert.equal(run.exitCode, 0, run.output);
  return run;
}

/** Opens the URL that wrangler printed, through a server in front of the platform. */
function open(url: string): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(platform.ready.http);
  return new Promise((resolve, reject) => {
    const { host } = new URL(url);
    request({ hostname, port, path: "/", headers: { host }, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode!, body }));
    })
      .on("error", reject)
      .end();
  });
}

const urlIn = ({ stdout }: WranglerRun, label: string): string =>
  new RegExp(`^${label} URL: (\\S+)$`, "m").exec(stdout)?.[1] ?? assert.fail(stdout);

test("versions upload prints a URL that the version answers at, and one for the alias that follows its newest version", async () => {
  await using shop = await deployed("shop", saying("deployed"));
  await shop.write({ "index.js": saying("second") });
  const second = await ran(shop, "versions", "upload", "--preview-alias", "staging");
  await shop.write({ "index.js": saying("third") });
  const third = await ran(shop, "versions", "upload", "--preview-alias", "staging");
  const urls = [second, third].map((run) => urlIn(run, "Version Preview"));
  assert.match(urls[0]!, /^https:\/\/[0-9a-f]{8}-shop\.[a-z0-9-]+\.workers\.dev$/);
  const alias = urlIn(third, "Version Preview Alias");
  assert.match(alias, /^https:\/\/staging-shop\./);

  assert.deepEqual(
    (await Promise.all([...urls, alias].map(open))).map(({ body }) => body),
    ["second", "third", "third"],
  );
  const id = /Worker Version ID: (\S+)/.exec(second.stdout)?.[1] ?? "";
  assert.equal((await platform.worker(`${id.slice(0, 8)}-shop`)).body, "second");
  assert.equal((await platform.worker("shop")).body, "deployed");

  const wrong = await shop.run(["versions", "upload", "--preview-alias", `a${"b".repeat(60)}`]);
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.output, /too long: ".*-shop" has 66 characters/);
});

test("preview_urls: false, and workers_dev: false alone, switch them off", async () => {
  await using off = await deployed("off", saying("deployed"), { preview_urls: false });
  const upload = await ran(off, "versions", "upload");
  assert.doesNotMatch(upload.stdout, /Preview URL/);
  const id = /Worker Version ID: (\S+)/.exec(upload.stdout)?.[1] ?? "";
  assert.equal((await platform.worker(`${id.slice(0, 8)}-off`)).status, 404);

  const path = "/accounts/{account}/workers/scripts/off/subdomain";
  const read = async (): Promise<object> => (await platform.api("GET", path)).json.result;
  assert.deepEqual(await read(), { enabled: true, previews_enabled: false });
  await platform.api("POST", path, { enabled: false, previews_enabled: true });
  assert.equal((await platform.worker(`${id.slice(0, 8)}-off`)).status, 200);
  await platform.api("POST", path, { enabled: false });
  assert.deepEqual(await read(), { enabled: false, previews_enabled: false });
  assert.equal((await platform.worker(`${id.slice(0, 8)}-off`)).status, 404);
});

test("a Worker with Durable Objects has no preview URLs", async () => {
  const source = `import { DurableObject } from "cloudflare:workers";
    export class Counter extends DurableObject {}
    export default { fetch: () => new Response("objects") };`;
  await using objects = await deployed("objects", source, {
    durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
  });
  const upload = await ran(objects, "versions", "upload");
  assert.doesNotMatch(upload.stdout, /Preview URL/);
  const id = /Worker Version ID: (\S+)/.exec(upload.stdout)?.[1] ?? "";
  assert.equal((await platform.worker(`${id.slice(0, 8)}-objects`)).status, 404);
});

test("who Access does not let in starts no version, and gets nothing of it", async () => {
  await using locked = await deployed("locked", saying("deployed"));
  const upload = await ran(locked, "versions", "upload");
  const id = /Worker Version ID: (\S+)/.exec(upload.stdout)?.[1] ?? "";
  const host = `${id.slice(0, 8)}-locked`;
  const { status, json } = await platform.api("POST", "/accounts/{account}/access/apps", {
    name: "previews",
    type: "self_hosted",
    domain: `${host}.localhost`,
    policies: [],
  });
  assert.equal(status < 300, true, JSON.stringify(json.errors));
  assert.equal((await platform.worker(host)).status, 403);
  await platform.api("DELETE", `/accounts/{account}/access/apps/${json.result.id}`);
  assert.equal((await platform.worker(host)).body, "deployed");
});
