import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { openAuthority } from "../src/dev/authority.ts";
import { startDevOrigin } from "../src/dev/origin.ts";
import { makeProject, type TestProject } from "./helpers/dev-project.ts";
import { makeAuthority } from "./helpers/pki.ts";

const worker = `
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const binding = env[url.searchParams.get("binding") ?? "MY_CERT"];
    const response = await binding.fetch(url.searchParams.get("to") ?? env.ORIGIN);
    return new Response(response.body, response);
  },
};`;

const configuration = JSON.stringify({
  name: "shop",
  main: "index.js",
  compatibility_date: "2025-11-17",
  mtls_certificates: [{ binding: "MY_CERT", certificate_id: "none" }],
});

async function shop(files: Readonly<Record<string, string>> = {}): Promise<TestProject> {
  return makeProject({ "wrangler.json": configuration, "index.js": worker, ...files });
}

interface Seen {
  readonly client: { readonly subject: string; readonly spiffeId: string | null };
}

async function get<T = Seen>(url: string): Promise<T> {
  const response = await fetch(url);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as T;
}

describe("countersign dev", () => {
  test("runs the Hono project of the seed in a fresh checkout with nothing configured", async () => {
    await using project = await makeProject({}, "hono-mtls");
    await using origin = project.run("dev", "origin", "--port", "0");
    const [originUrl] = await origin.says(/https:\/\/localhost:\d+/);
    await mkdir(project.path(".tmp"));
    await using dev = await project
      .with({ TMPDIR: project.path(".tmp") })
      .dev("--var", `ORIGIN:${originUrl}`);
    const { response, status } = await get<{ response: Seen; status: number }>(
      `${dev.url}/mtls-request`,
    );
    assert.equal(status, 200);
    assert.match(response.client.subject, /CN=APP_CERT/);
    assert.equal(
      response.client.spiffeId,
      "spiffe://development.localhost/cf-workers-mtls-example/APP_CERT",
    );
    assert.match(
      dev.output,
      /APP_CERT presents CN=APP_CERT.*expires in 8\d days.*trusts public roots/,
    );
    assert.equal(await readFile(project.path(".countersign/.gitignore"), "utf8"), "*\n");
    await dev[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(project.path(".tmp")), [], "nothing is left behind");
  });

  test("presents the certificate of --cert, and a changed file without a restart", async () => {
    await using project = await shop();
    const ca = await makeAuthority();
    const one = await ca.issue({ subject: "CN=one" });
    const two = await ca.issue({ subject: "CN=two" });
    await project.write("certs/cert.pem", one.chain);
    await project.write("certs/key.pem", one.key);
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority: { ...authority, ca: ca.pem } });
    await using dev = await project.dev(
      "--var",
      `ORIGIN:${origin.url}`,
      "--cert",
      "MY_CERT=certs/cert.pem,certs/key.pem",
    );
    assert.equal((await get(dev.url)).client.subject, "CN=one");

    await project.write("certs/cert.pem", "-----BEGIN CERTIFICATE-----\nhalf written");
    await dev.says(/✘ the certificate of "MY_CERT"/);
    assert.equal((await get(dev.url)).client.subject, "CN=one", "a broken file changes nothing");

    await project.write("certs/key.pem", two.key);
    await project.write("certs/cert.pem", two.chain);
    await dev.says(/MY_CERT presents CN=two/);
    assert.equal((await get(dev.url)).client.subject, "CN=two");
  });

  test("serves an edited Worker, and a binding that is new in the configuration", async () => {
    await using project = await shop();
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority });
    await using dev = await project.dev("--var", `ORIGIN:${origin.url}`);
    await get(dev.url);
    await writeFile(
      project.path("wrangler.json"),
      configuration.replace(
        '"none"}',
        '"none"},{"binding":"OTHER","certificate_id":"none"},{"binding":"ME","certificate_id":"identity"}',
      ),
    );
    await dev.says(/OTHER presents CN=OTHER/);
    const other = await untilOk(`${dev.url}/?binding=OTHER`);
    assert.match(((await other.json()) as Seen).client.subject, /CN=OTHER/);
    const me = (await (await untilOk(`${dev.url}/?binding=ME`)).json()) as Seen;
    const name = (JSON.parse(configuration) as { name: string }).name;
    const id = `spiffe://countersign.internal/account/development/worker/${name}`;
    assert.deepEqual([me.client.spiffeId, me.client.subject], [id, `CN=${name},O=development`]);

    await project.write("index.js", `export default { fetch: () => new Response("edited") }`);
    await untilSays(dev.url, "edited");
  });

  test("leaves a custom build, .dev.vars, assets, R2 and queues to wrangler", async () => {
    await using project = await shop({
      ".dev.vars": "ORIGIN=https://nowhere.test\nSECRET=hush\n",
      "public/hello.txt": "hello",
      "source/index.js": `
export default {
  async fetch(request, env) {
    await env.BUCKET.put("seen", "yes");
    await env.QUEUE.send("done");
    const response = await env.MY_CERT.fetch(env.ORIGIN);
    const { client } = await response.json();
    return Response.json({ secret: env.SECRET, subject: client.subject });
  },
  async queue(batch, env) {
    console.log("the queue has", batch.messages[0].body, await (await env.BUCKET.get("seen")).text());
  },
};`,
      "wrangler.json": JSON.stringify({
        ...(JSON.parse(configuration) as object),
        main: "built.js",
        build: { command: "cp source/index.js built.js", watch_dir: "source" },
        assets: { directory: "public" },
        r2_buckets: [{ binding: "BUCKET", bucket_name: "bucket" }],
        queues: {
          producers: [{ binding: "QUEUE", queue: "work" }],
          consumers: [{ queue: "work", max_batch_timeout: 0 }],
        },
      }),
    });
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority });
    await using dev = await project.dev("--var", `ORIGIN:${origin.url}`);
    const answer = await get<{ secret: string; subject: string }>(dev.url);
    assert.equal(answer.secret, "hush");
    assert.match(answer.subject, /CN=MY_CERT/);
    assert.equal(await (await fetch(`${dev.url}/hello.txt`)).text(), "hello");
    await dev.says(/the queue has done yes/);
  });

  test("explains a failed handshake once: code, both certificates, what to do", async () => {
    await using project = await shop();
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority, faults: { unknownCa: true } });
    await using dev = await project.dev("--var", `ORIGIN:${origin.url}`);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const response = await fetch(dev.url);
      assert.equal(response.headers.get("countersign-failure"), "origin_certificate_unknown_ca");
      assert.equal(response.status, 526);
      await response.body?.cancel();
    }
    await dev.says(/code +origin_certificate_unknown_ca/);
    assert.equal(dev.output.split("origin_certificate_unknown_ca").length, 2, "said once");
    assert.match(dev.output, /yours +CN=MY_CERT/);
    assert.match(dev.output, /theirs +CN=Countersign development origin/);
    assert.match(dev.output, /do +.*countersign\.json/);

    const response = await fetch(`${dev.url}/?to=http://localhost:1/`);
    assert.equal(response.headers.get("countersign-failure"), "origin_http_refused");
  });

  test("answers 520 for a proxied zone, and leads hosts elsewhere, as countersign.json says", async () => {
    await using project = await shop();
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority, names: ["api.example.com"] });
    await project.write(
      "countersign.json",
      JSON.stringify({
        proxied: ["*.proxied.test"],
        hosts: { "api.example.com": `localhost:${origin.port}` },
        bindings: { MY_CERT: { allowedHosts: ["api.example.com", "*.proxied.test"] } },
      }),
    );
    await using dev = await project.dev();
    await get(`${dev.url}/?to=https://api.example.com/orders`);
    assert.equal(origin.requests[0]?.headers["host"], "api.example.com");
    const proxied = await fetch(`${dev.url}/?to=https://shop.proxied.test/`);
    assert.equal(proxied.status, 520);
    const elsewhere = await fetch(`${dev.url}/?to=${origin.url}`);
    assert.equal(elsewhere.headers.get("countersign-failure"), "origin_host_not_allowed");
  });

  test("says what a binding keeps when its files break, and nothing about other bindings", async () => {
    const { pem, issue } = await makeAuthority().then((made) => ({
      pem: made.pem,
      issue: made.issue.bind(made),
    }));
    const [one, two] = await Promise.all(
      ["one", "two"].map((cn) => issue({ subject: `CN=${cn}` })),
    );
    await using project = await shop();
    await project.write(
      "wrangler.json",
      JSON.stringify({
        name: "shop",
        main: "index.js",
        compatibility_date: "2025-11-17",
        mtls_certificates: ["MY_CERT", "PARTNER"].map((binding) => ({
          binding,
          certificate_id: "none",
        })),
      }),
    );
    await project.write("ca.pem", pem);
    await project.write("one.pem", one!.pem + one!.key);
    await project.write("two.pem", two!.pem + two!.key);
    await project.write(
      "countersign.json",
      JSON.stringify({
        ca: "ca.pem",
        bindings: {
          MY_CERT: { certificate: { cert: "one.pem" } },
          PARTNER: { certificate: { cert: "two.pem" } },
        },
      }),
    );
    await using dev = await project.dev();
    await project.write("two.pem", "broken");
    await dev.says(/PARTNER still presents CN=two \(two\.pem\)/);
    assert.equal(dev.output.split("MY_CERT presents").length, 2, dev.output);
    assert.doesNotMatch(dev.output, /whose issuer is neither/, "its issuer is countersign.json's");
    await project.write("two.pem", one!.pem + one!.key);
    await dev.says(/PARTNER presents CN=one/);
  });

  test("reads countersign.json again when it changes", async () => {
    await using project = await shop();
    const stranger = await makeAuthority();
    await project.write("ca.pem", stranger.pem);
    const authority = await openAuthority(project.folder);
    const issue = stranger.issue.bind(stranger);
    await using origin = await startDevOrigin({
      authority: {
        ...authority,
        issue: async (request) => {
          const { chain, key } = await issue({ subject: "CN=stranger", dns: request.dns ?? [] });
          return { cert: chain, key };
        },
      },
    });
    await using dev = await project.dev("--var", `ORIGIN:${origin.url}`);
    const before = await fetch(dev.url);
    assert.equal(before.headers.get("countersign-failure"), "origin_certificate_unknown_ca");
    await project.write("countersign.json", `{ "ca": "ca.pem" }`);
    await dev.says(/trusts public roots, the development CA, ca\.pem/);
    await get(dev.url);
    await project.write("countersign.json", `{ "ca": ["ca.pem", "leaf.pem"] }`);
    await project.write("leaf.pem", (await stranger.issue({ subject: "CN=leaf" })).pem);
    await dev.says(/authority_not_ca|CN=leaf\) is not a CA/);
    await get(dev.url);
    await project.write("countersign.json", `{\n  "ca": 5\n}`);
    await dev.says(/countersign\.json:2:9: ca: /);
    await get(dev.url);
  });
});

/** wrangler cuts requests in flight when it reloads. */
async function untilOk(url: string): Promise<Response> {
  for (;;) {
    const response = await fetch(url).catch(() => null);
    if (response?.ok) return response;
    await response?.body?.cancel();
  }
}

async function untilSays(url: string, text: string): Promise<void> {
  const ask = async (): Promise<string> => (await fetch(url)).text();
  while (!(await ask().catch(String)).includes(text));
}
