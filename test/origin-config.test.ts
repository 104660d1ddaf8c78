import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { freePort } from "./helpers/free-port.ts";
import { countersign } from "./helpers/cli.ts";
import {
  openProxiedOrigin,
  POLICY,
  TARGETS,
  verdict,
  WORKERS,
  type ProxiedOrigin,
} from "./helpers/proxied-origin.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

let lab: ProxiedOrigin;
let folder: string;
let callers: ProxiedOrigin["callers"];
let ask: ProxiedOrigin["ask"];

before(async () => {
  lab = await openProxiedOrigin();
  ({ folder, callers, ask } = lab);
});

after(() => lab[Symbol.asyncDispose]());

/** How each server is made to reload its configuration. */
const reloads: Readonly<Record<string, (child: ChildProcess, home: string) => string>> = {
  nginx: (_, home) => `nginx -p ${home} -c ${home}/nginx.conf -s reload`,
  // A signal that arrives during a reload is lost.
  haproxy: ({ pid }) => `kill -USR2 ${pid} && sleep 1`,
  caddy: (_, home) =>
    `caddy reload --force --adapter caddyfile --config ${home}/Caddyfile --address unix/${home}/admin.sock`,
};

for (const [name, reload] of Object.entries(reloads)) {
  const absent = spawnSync("which", [name]).status === 0 ? false : `${name} is not installed`;
  describe(name, { skip: absent }, () => {
    test(`${name} with the printed configuration says what the policy says, of every caller, method and path`, async (t) => {
      const port = await freePort();
      const { child } = await lab.begin(t, {
        name,
        port,
        configuration: await lab.print(name, port),
      });
      const agents = new Map<string, Agent>();
      for (const worker of WORKERS) {
        const agent = new Agent({ keepAlive: true });
        agents.set(worker, agent);
        for (const method of ["GET", "HEAD", "POST", "PUT"]) {
          for (const path of method === "GET" || worker === "d" ? TARGETS : ["/"]) {
            const wanted = verdict(worker, method, path);
            // The answer to HEAD has no body, so it contains no code.
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
      await lab.begin(t, { name, port, configuration: await lab.print(name, port) });
      assert.deepEqual(await ask(port, undefined), { status: 401, code: "certificate_missing" });
      assert.deepEqual(await ask(port, callers.get("revoked")), {
        status: 401,
        code: "certificate_revoked",
      });
      assert.deepEqual(await ask(port, callers.get("other account")), {
        status: 403,
        code: "caller_not_named",
      });
      const proofless = ["foreign", "expired", "early"].map((one) => callers.get(one));
      if (name === "caddy") {
        for (const one of proofless) assert.equal((await ask(port, one)).status, 0);
      } else {
        const refused = await Promise.all(proofless.map((one) => ask(port, one)));
        assert.deepEqual(refused, [
          { status: 401, code: "certificate_untrusted" },
          { status: 401, code: "certificate_expired" },
          { status: 401, code: "certificate_not_yet_valid" },
        ]);
      }
      const headers = {
        "x-countersign-worker": "root",
        "x-countersign-environment": "root",
        "x-countersign-spiffe-id": "spiffe://example.org/account/acme/worker/root",
        "x-ssl-client-verify": "SUCCESS",
        "x-forwarded-client-cert": "Hash=00",
        "client-cert": ":AAAA:",
      };
      const spelled = Object.entries(headers).flatMap(([field, value]) => spellings(field, value));
      const all = Object.fromEntries(spelled);
      assert.equal((await ask(port, callers.get("c"), { headers: all })).status, 200);
      assert.doesNotMatch(JSON.stringify(lab.lastHeaders()), /root|Hash=00|:AAAA:/);
      const spoofed = await ask(port, undefined, { headers });
      assert.equal(spoofed.code, "certificate_missing");
    });

    test(`${name} follows the policy with --follow and --exec`, async (t) => {
      const port = await freePort();
      const { child, home } = await lab.begin(t, {
        name,
        port,
        configuration: await lab.print(name, port),
      });
      const policy = join(home, "policy.json");
      writeFileSync(policy, JSON.stringify(POLICY));
      const flags = [
        ...lab.flagsFor(port),
        "--policy",
        policy,
        "--write",
        home,
        "--follow",
        "--json",
      ];
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
  const { static_resources } = JSON.parse(await lab.print("envoy", 8443)) as {
    static_resources: {
      listeners: [{ filter_chains: [{ transport_socket: object; filters: object[] }] }];
    };
  };
  const [chain] = static_resources.listeners[0].filter_chains;
  const tls = JSON.stringify(chain.transport_socket);
  assert.ok(tls.includes(JSON.stringify(readFileSync(join(folder, "crl.pem"), "utf8"))));
  assert.ok(tls.includes(JSON.stringify(lab.ca.pem.trim()).slice(1, -1)));
  const policies = JSON.stringify(chain.filters);
  for (const index of POLICY.allow.keys()) assert.ok(policies.includes(`"rule-${index}`));
  assert.match(policies, /spiffe:\/\/\[\^\/\]\+\/account\/acme\/worker\/\(\?:a\|b\)/);
});

// Not tested with the real Traefik: Debian, npm and PyPI have no package of it, and `go install
// github.com/traefik/traefik/v3/cmd/traefik@v3.7.13` refuses its `replace` directives; its module has neither
// `webui/static`, which it embeds, nor `pkg/config/dynamic/ext`, which it imports. Older versions are not available.
test("Traefik passes on to the sidecar, with the command that starts it", async () => {
  const printed = await lab.print("traefik", 8443, "--server-name", "orders.internal");
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
    const run = await config(name, ...lab.flagsFor(1), "--policy", "odd/policy.json");
    assert.match(run.stdout, /origin_config_inexpressible.*allow\[0\]\.spiffeId/);
  }
  assert.equal(
    (await config("caddy", ...lab.flagsFor(1), "--policy", "odd/policy.json")).status,
    0,
  );
  const loose = await config("nginx", ...lab.flagsFor(1), "--exec", "true");
  assert.match(loose.stdout, /sidecar_option_malformed.*--write/);
  const failing = await config(
    "nginx",
    ...lab.flagsFor(1),
    "--write",
    "w",
    "--exec",
    "echo no >&2; false",
  );
  assert.match(failing.stdout, /origin_config_exec_failed/);
});

/** With "_" for any of its "-", which CGI and its successors take for the same, and in capitals. */
function spellings(field: string, value: string): [string, string][] {
  const [first, ...rest] = field.split("-");
  const written = rest.reduce(
    (begun, part) => begun.flatMap((one) => [`${one}-${part}`, `${one}_${part}`]),
    [first!],
  );
  return written.flatMap((one) =>
    one === field
      ? [[one, value]]
      : [
          [one, value],
          [one.toUpperCase(), value],
        ],
  );
}
