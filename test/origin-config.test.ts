import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { Agent, request as send } from "node:https";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test, type TestContext } from "node:test";
import { callerFacts, decide, parsePolicy, workerSpiffeId } from "countersign-origin";
import { freePort } from "./helpers/free-port.ts";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { proxyCommand } from "./helpers/proxies.ts";
import { until } from "./helpers/until.ts";

const program = join(import.meta.dirname, "..", "bin", "countersign.js");
const folder = mkdtempSync(join(tmpdir(), "countersign-config-"));
const ODD = `we'ird ,"é`;
const POLICY = {
  allow: [
    { worker: ["a", "b"], methods: ["GET", "POST"] },
    { worker: "c", methods: "GET" },
    { worker: "d", paths: ["/orders/*", "/health", "/caf%C3%A9"] },
    { spiffeId: "spiffe://example.org/account/acme/worker/e-*", methods: "PUT" },
    { worker: ODD, methods: "GET", paths: "/*" },
  ],
};
const WORKERS = ["a", "c", "d", "e-1", "aa", "A", ODD];
const TARGETS = [
  "/",
  "/orders/7?x=/health",
  "/orders",
  "/health",
  "/health?",
  "/healthy",
  "/caf%c3%a9",
  "/orders/../secret",
  "/orders/%2e%2e/secret",
  "/orders//x",
  "/orders/%2f",
  "/orders/%ff",
];

let ca: TestAuthority;
let server: TestCertificate;
let service: Server;
let to: string;
let last: IncomingHttpHeaders = {};
const callers = new Map<string, TestCertificate>();

before(async () => {
  ca = await makeAuthority("Acme");
  server = await ca.issue({ subject: "CN=localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
  for (const worker of [...WORKERS, "revoked"]) callers.set(worker, await issue(worker));
  callers.set("foreign", await issue("a", { by: await makeAuthority("Acme") }));
  callers.set("expired", await issue("a", { notAfter: new Date(Date.now() - 60_000) }));
  callers.set("other account", await issue("a", { account: "other" }));
  writeFileSync(join(folder, "tls.crt"), server.chain + server.key);
  writeFileSync(join(folder, "tls.key"), server.key);
  writeFileSync(join(folder, "ca.pem"), ca.pem);
  writeFileSync(join(folder, "crl.pem"), await ca.revoke([callers.get("revoked")!]));
  writeFileSync(join(folder, "policy.json"), JSON.stringify(POLICY));
  service = createServer((request, response) => {
    last = request.headers;
    request.resume();
    response.end("let in");
  }).listen(0, "127.0.0.1");
  await once(service, "listening");
  to = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
});

after(() => {
  service.closeAllConnections();
  service.close();
  rmSync(folder, { recursive: true });
});

interface IssueOptions {
  readonly by?: TestAuthority;
  readonly account?: string;
  readonly notAfter?: Date;
}

function issue(
  worker: string,
  { by = ca, account = "acme", notAfter }: IssueOptions = {},
): Promise<TestCertificate> {
  const uri = workerSpiffeId({ trustDomain: "example.org", account, worker, environment: null });
  const name = worker.replaceAll(/[,"+\\<>;]/g, "\\$&");
  return by.issue({
    // As it is encoded: the most general part first.
    subject: `O=${account},CN=${name}`,
    uris: [uri],
    ...(notAfter && { notAfter, notBefore: new Date(notAfter.getTime() - 3_600_000) }),
  });
}

interface Answer {
  readonly status: number;
  readonly code: string | null;
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
}

/** Status 0: refused in the handshake. */
function ask(port: number, who: TestCertificate | undefined, asked: Asked = {}): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, agent = false } = asked;
  return new Promise((resolve) => {
    send(
      {
        host: "127.0.0.1",
        servername: "localhost",
        ca: ca.pem,
        port,
        method,
        path,
        agent,
        headers: { host: "localhost", ...headers },
        ...(who && { cert: who.chain, key: who.key }),
      },
      (response) =>
        void text(response).then((body) =>
          resolve({
            status: response.statusCode!,
            code: body.startsWith("{")
              ? (JSON.parse(body) as { error: { code: string } }).error.code
              : null,
          }),
        ),
    )
      .on("error", (error: NodeJS.ErrnoException) =>
        resolve({ status: 0, code: error.code ?? error.message }),
      )
      .end();
  });
}

function flagsFor(port: number): string[] {
  return `--listen 127.0.0.1:${port} --cert tls.crt --key tls.key --trust ca.pem --crl crl.pem --account acme --policy policy.json --to ${to}`.split(
    " ",
  );
}

async function print(name: string, port: number, ...more: string[]): Promise<string> {
  const run = await countersign(["origin", "config", name, ...flagsFor(port), ...more], {
    cwd: folder,
  });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout;
}

/** How each server is told that its configuration has changed. */
const reloads: Readonly<Record<string, (child: ChildProcess, home: string) => string>> = {
  nginx: (_, home) => `nginx -p ${home} -c ${home}/nginx.conf -s reload`,
  // A signal that comes while it reloads is lost.
  haproxy: ({ pid }) => `kill -USR2 ${pid} && sleep 1`,
  caddy: (_, home) =>
    `caddy reload --force --adapter caddyfile --config ${home}/Caddyfile --address unix/${home}/admin.sock`,
};

async function begin(
  t: TestContext,
  name: string,
  port: number,
  configuration: string,
): Promise<{ child: ChildProcess; home: string }> {
  const home = mkdtempSync(join(folder, `${name}-`));
  const child = spawn(name, proxyCommand(name, configuration, home), {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  }
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  });
  await until(async () => {
    assert.equal(child.exitCode, null, said);
    const answer = await ask(port, callers.get("a"));
    assert.ok(
      answer.status === 200 || answer.status === 0,
      `${answer.status} ${answer.code}\n${said}`,
    );
    return answer.status === 200;
  });
  return { child, home };
}

/** A word of what the policy's own code says. */
function verdict(worker: string, method: string, path: string): Answer {
  const facts = callerFacts({
    subject: "",
    issuer: "",
    serialNumber: "",
    fingerprint: "",
    uris: [
      workerSpiffeId({ trustDomain: "example.org", account: "acme", worker, environment: null }),
    ],
    notBefore: null,
    notAfter: null,
  });
  const { allowed, code } = decide(parsePolicy(POLICY), facts, { method, path });
  if (allowed) return { status: 200, code: null };
  return { status: 403, code: code === "path_ambiguous" ? "path_not_allowed" : code };
}

for (const [name, reload] of Object.entries(reloads)) {
  const absent = spawnSync("which", [name]).status === 0 ? false : `${name} is not installed`;
  describe(name, { skip: absent }, () => {
    test(`${name} with the printed configuration says what the policy says, of every caller, method and path`, async (t) => {
      const port = await freePort();
      const { child } = await begin(t, name, port, await print(name, port));
      const agents = new Map<string, Agent>();
      for (const worker of WORKERS) {
        const agent = new Agent({ keepAlive: true });
        agents.set(worker, agent);
        for (const method of ["GET", "HEAD", "POST", "PUT"]) {
          for (const path of method === "GET" || worker === "d" ? TARGETS : ["/"]) {
            const wanted = verdict(worker, method, path);
            // The answer to HEAD has no body to read the code in.
            if (method === "HEAD") Object.assign(wanted, { code: null });
            const got = await ask(port, callers.get(worker), { method, path, agent });
            // nginx itself refuses what it cannot decode.
            if (got.status === 400 && wanted.status === 403) continue;
            assert.deepEqual(got, wanted, `${worker} ${method} ${path}`);
          }
        }
        agent.destroy();
      }
      assert.equal(child.exitCode, null);
    });

    test(`${name} refuses every attacker with a code, and drops what a client says of a certificate`, async (t) => {
      const port = await freePort();
      await begin(t, name, port, await print(name, port));
      assert.deepEqual(await ask(port, undefined), { status: 401, code: "certificate_missing" });
      assert.deepEqual(await ask(port, callers.get("revoked")), {
        status: 401,
        code: "certificate_revoked",
      });
      assert.deepEqual(await ask(port, callers.get("other account")), {
        status: 403,
        code: "caller_not_named",
      });
      const [foreign, expired] = [callers.get("foreign"), callers.get("expired")];
      if (name === "caddy") {
        for (const one of [foreign, expired]) assert.equal((await ask(port, one)).status, 0);
      } else {
        const refused = await Promise.all([ask(port, foreign), ask(port, expired)]);
        assert.deepEqual(refused, [
          { status: 401, code: "certificate_untrusted" },
          { status: 401, code: "certificate_expired" },
        ]);
      }
      const headers = {
        "x-countersign-worker": "root",
        "x-countersign-spiffe-id": "spiffe://example.org/account/acme/worker/root",
        "x-ssl-client-verify": "SUCCESS",
        "x-forwarded-client-cert": "Hash=00",
        "client-cert": ":AAAA:",
      };
      assert.equal((await ask(port, callers.get("c"), { headers })).status, 200);
      assert.doesNotMatch(JSON.stringify(last), /root|Hash=00|:AAAA:/);
      const spoofed = await ask(port, undefined, { headers });
      assert.equal(spoofed.code, "certificate_missing");
    });

    test(`${name} follows the policy with --follow and --exec`, async (t) => {
      const port = await freePort();
      const { child, home } = await begin(t, name, port, await print(name, port));
      const policy = join(home, "policy.json");
      writeFileSync(policy, JSON.stringify(POLICY));
      const flags = [...flagsFor(port), "--policy", policy, "--write", home, "--follow", "--json"];
      const follower = spawn(
        process.execPath,
        [program, "origin", "config", name, ...flags, "--exec", reload(child, home)],
        { cwd: folder, stdio: ["ignore", "pipe", "inherit"] },
      );
      t.after(() => void follower.kill("SIGKILL"));
      const [line] = (await once(follower.stdout, "data")) as [Buffer];
      assert.match(String(line), /"ready":true/);
      assert.equal((await ask(port, callers.get("a"), { method: "POST" })).status, 200);
      // A broken policy changes nothing.
      writeFileSync(`${policy}.new`, "{");
      renameSync(`${policy}.new`, policy);
      writeFileSync(`${policy}.new`, JSON.stringify({ allow: [{ worker: "a", methods: "GET" }] }));
      renameSync(`${policy}.new`, policy);
      await until(
        async () =>
          (await ask(port, callers.get("a"), { method: "POST" })).code === "method_not_allowed",
      );
      assert.equal((await ask(port, callers.get("a"))).status, 200);
      follower.kill("SIGTERM");
      const [status] = (await once(follower, "exit")) as [number];
      assert.equal(status, 0);
    });
  });
}

test("what Envoy is given names every rule, the CAs and the revocations, and is one JSON object", async () => {
  const { static_resources } = JSON.parse(await print("envoy", 8443)) as {
    static_resources: {
      listeners: [{ filter_chains: [{ transport_socket: object; filters: object[] }] }];
    };
  };
  const [chain] = static_resources.listeners[0].filter_chains;
  const tls = JSON.stringify(chain.transport_socket);
  assert.ok(tls.includes(JSON.stringify(readFileSync(join(folder, "crl.pem"), "utf8"))));
  assert.ok(tls.includes(JSON.stringify(ca.pem.trim()).slice(1, -1)));
  const policies = JSON.stringify(chain.filters);
  for (const index of POLICY.allow.keys()) assert.ok(policies.includes(`"rule-${index}`));
  assert.match(policies, /spiffe:\/\/\[\^\/\]\+\/account\/acme\/worker\/\(\?:a\|b\)/);
});

test("Traefik passes on to the sidecar, with the command that starts it", async () => {
  const printed = await print("traefik", 8443, "--server-name", "orders.internal");
  assert.match(printed, /passthrough: true/);
  assert.match(printed, /#   countersign origin serve --listen 127\.0\.0\.1:8443 --cert tls\.crt/);
});

test("what a server cannot ask is refused by name, and so are options that do not fit together", async () => {
  mkdirSync(join(folder, "odd"));
  const odd = { allow: [{ spiffeId: "spiffe://example.org/ns/x/sa/y" }] };
  writeFileSync(join(folder, "odd", "policy.json"), JSON.stringify(odd));
  const config = (...more: string[]): ReturnType<typeof countersign> =>
    countersign(["origin", "config", ...more, "--json"], { cwd: folder });
  for (const name of ["nginx", "haproxy"]) {
    const run = await config(name, ...flagsFor(1), "--policy", "odd/policy.json");
    assert.match(run.stdout, /origin_config_inexpressible.*allow\[0\]\.spiffeId/);
  }
  assert.equal((await config("caddy", ...flagsFor(1), "--policy", "odd/policy.json")).status, 0);
  const loose = await config("nginx", ...flagsFor(1), "--exec", "true");
  assert.match(loose.stdout, /sidecar_option_malformed.*--write/);
  const failing = await config(
    "nginx",
    ...flagsFor(1),
    "--write",
    "w",
    "--exec",
    "echo no >&2; false",
  );
  assert.match(failing.stdout, /origin_config_exec_failed/);
});
