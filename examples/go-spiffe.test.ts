import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { countersign, type CliRun } from "../test/helpers/cli.ts";
import { makeAuthority, type TestAuthority } from "../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { until } from "../test/helpers/until.ts";

const ME = "spiffe://mesh.example/orders";
const CALLER = `export default {
  async fetch(request, env) {
    const port = new URL(request.url).searchParams.get("port");
    const answer = await env.ME.fetch("https://localhost:" + port + "/");
    const failure = answer.headers.get("countersign-failure");
    return new Response(failure ?? (await answer.text()), { status: answer.status });
  },
};`;

const { stdout: version } = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" });
const hasGo = /^go1\.(2[5-9]|[3-9]\d)/.test(version ?? "");

describe("an origin with go-spiffe", { skip: hasGo ? false : "no Go 1.25" }, () => {
  let folder: string;
  let platform: TestPlatform;
  let program: string;
  let mesh: TestAuthority;
  let endpoint: Server;
  let other: string;
  let others: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-go-spiffe-"));
    program = join(folder, "origin");
    await promisify(execFile)("go", ["build", "-o", program, "."], {
      cwd: join(import.meta.dirname, "go-spiffe"),
      env: { ...process.env, GOFLAGS: "-p=1 -buildvcs=false" },
    });
    platform = await startPlatform();
    const { api } = platform.ready;
    mesh = await makeAuthority("Mesh");
    await writeFile(join(folder, "mesh.pem"), mesh.pem);
    // The API behind a proxy that ends TLS, as a bundle endpoint of the kind `https_web`.
    const { chain, key } = await mesh.issue({ subject: "CN=localhost", dns: ["localhost"] });
    endpoint = createServer({ cert: chain, key }, (request, response) => {
      const passOn = async (): Promise<void> => {
        const answer = await fetch(api + request.url);
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        response.end(await answer.text());
      };
      void passOn();
    });
    endpoint.listen(0, "127.0.0.1");
    await once(endpoint, "listening");
    const added = await cli("account", "add", "Other", "--subdomain", "other", "--json");
    other = (JSON.parse(added.stdout) as { id: string }).id;
    const made = await cli(
      "token",
      "create",
      "other",
      "--account",
      "Other",
      "--role",
      "admin",
      "--json",
    );
    assert.equal(made.status, 0, made.stderr);
    others = (JSON.parse(made.stdout) as { token: string }).token;
    for (const [account, token] of accounts()) {
      const uploaded = await call("POST", `/accounts/${account}/mtls_certificates`, token, {
        certificates: mesh.pem,
        ca: true,
        name: "mesh",
      });
      const path = `/accounts/${account}/countersign/authorities/${uploaded.id}/trust`;
      const tied = { account: false, certificates: [], hosts: ["localhost"], spiffe_ids: [ME] };
      await call("PUT", path, token, tied);
      await deploy("a", account, token);
    }
    await deploy("c");
  });

  after(async () => {
    endpoint?.closeAllConnections();
    endpoint?.close();
    await platform?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function cli(...args: string[]): Promise<CliRun> {
    return countersign([...args, "--data", platform.dataFolder]);
  }

  function accounts(): readonly (readonly [id: string, token: string])[] {
    const { accountId, token } = platform.ready;
    return [
      [accountId, token],
      [other, others],
    ];
  }

  async function call(
    method: string,
    path: string,
    token: string,
    body: object | FormData,
  ): Promise<{ id: string }> {
    const answer = await fetch(platform.ready.api + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      body: body instanceof FormData ? body : JSON.stringify(body),
    });
    const json = (await answer.json()) as { result: { id: string }; errors: unknown };
    assert.equal(answer.status, 200, JSON.stringify(json.errors));
    return json.result;
  }

  async function deploy(
    name: string,
    account = platform.ready.accountId,
    token = platform.ready.token,
  ): Promise<void> {
    const form = new FormData();
    const bindings = [{ type: "mtls_certificate", name: "ME", certificate_id: "identity" }];
    const tags = ["cf:service=shop", "cf:environment=staging"];
    const metadata = { main_module: "index.js", compatibility_date: "2026-11-01", bindings, tags };
    form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
    form.set("index.js", new File([CALLER], "index.js", { type: "application/javascript+module" }));
    await call("PUT", `/accounts/${account}/workers/scripts/${name}`, token, form);
  }

  function idOf(worker: string): string {
    return `spiffe://countersign.internal/account/${platform.ready.accountId}/worker/${worker}`;
  }

  /** @param uri of the origin's own SVID @returns its port, and its output so far */
  async function serve(
    t: TestContext,
    uri: string,
    ...allow: readonly string[]
  ): Promise<{ port: string; said: () => string }> {
    const svid = await mesh.issue({ subject: "O=mesh", uris: [uri] });
    await writeFile(join(folder, "svid.pem"), svid.chain);
    await writeFile(join(folder, "svid.key"), svid.key);
    const { port } = endpoint.address() as AddressInfo;
    const bundle = `https://localhost:${port}/accounts/${platform.ready.accountId}/countersign/identity/bundle.json`;
    const files = ["-svid", "svid.pem", "-key", "svid.key", "-bundle-ca", "mesh.pem"];
    const allowed = allow.flatMap((id) => ["-allow", id]);
    const args = ["-bundle", bundle, "-refresh", "100ms", ...files, ...allowed];
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
    t.after(async () => {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
    });
    await until(() => {
      assert.equal(child.exitCode, null, text);
      return text.includes("listening on ");
    });
    return { port: /listening on .*:(\d+)/.exec(text)![1]!, said: () => text };
  }

  async function ask(worker: string, port: string): Promise<readonly [number, string]> {
    const { status, body } = await platform.worker(worker, `/?port=${port}`);
    return [status, body];
  }

  test("it lets in the Worker that it names, refuses another, and another account's of the same name", async (t) => {
    const { port, said } = await serve(t, ME, idOf("a"));
    assert.deepEqual(await ask("a", port), [200, `Hello ${idOf("a")}\n`]);
    assert.deepEqual(await ask("c", port), [403, `${idOf("c")} may not come in\n`]);
    assert.deepEqual(await ask("a.other", port), [525, "origin_refused_certificate_bad"]);
    await until(() => /signed by unknown authority/.test(said()));
  });

  test("the gateway shows its certificate to no server with another SPIFFE ID", async (t) => {
    const { port } = await serve(t, "spiffe://mesh.example/bills", idOf("a"));
    assert.deepEqual(await ask("a", port), [526, "origin_certificate_wrong_spiffe_id"]);
  });

  test("it follows the bundle: a CA is exchanged, and every request is answered", async (t) => {
    const { port, said } = await serve(t, ME, idOf("a"));
    const stop = new AbortController();
    const answers = new Set<number>();
    const load = (async () => {
      while (!stop.signal.aborted) answers.add((await ask("a", port))[0]);
    })();
    try {
      assert.equal((await cli("identity", "ca", "prepare")).status, 0);
      await until(() => said().includes("trusts 2"));
      const activated = await cli("identity", "ca", "activate");
      assert.equal(activated.status, 0, activated.stderr);
      assert.equal((await ask("a", port))[0], 200);
    } finally {
      stop.abort();
      await load;
    }
    assert.deepEqual([...answers], [200]);
  });

  test("an identity that names an environment is a SPIFFE ID to it as well", async (t) => {
    assert.equal((await cli("identity", "environments", "on")).status, 0);
    const named = `${idOf("c")}/environment/staging`;
    const { port } = await serve(t, ME, named);
    assert.deepEqual(await ask("c", port), [200, `Hello ${named}\n`]);
    assert.equal((await ask("a", port))[0], 403);
  });
});
