import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { asUser, findProcessUsers } from "../src/process/walls/process-users.ts";
import { attackFrom, buildAttacker, deployVictims } from "./helpers/attack.ts";
import { countersign } from "./helpers/cli.ts";
import { startOrigin, subjectOf, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const setpriv = spawnSync("sh", ["-c", "command -v setpriv"]).stdout.toString().trim();
const gcc = spawnSync("gcc", ["--version"]).status === 0;

describe("users of their own for the platform's processes", { skip: whyNot() }, () => {
  const temporary = mkdtempSync(join(tmpdir(), "countersign-process-users-"));
  const dataFolder = join(temporary, "data");
  const attacker = join(temporary, "attacker");
  const args = ["--dev", "--gateway-processes", "2"];
  let platform: TestPlatform;
  let authority: TestAuthority;
  let origin: TestOrigin;

  before(async () => {
    chmodSync(temporary, 0o755);
    mkdirSync(dataFolder);
    if (gcc) buildAttacker(attacker);
    authority = await makeAuthority();
    origin = await startOrigin({
      authority,
      handler: (request, response) => response.end(subjectOf(request)),
    });
    // A data folder that was made without separate users.
    platform = await startPlatform({ dataFolder, args: ["--dev", "--sandbox", "off"] });
    await deployVictims(platform);
    await deployCaller();
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    rmSync(temporary, { recursive: true });
  });

  const restart = async (more: readonly string[]): Promise<void> => {
    const { token } = platform.ready;
    await platform.end("SIGTERM");
    platform = await startPlatform({ dataFolder, token, args: more });
  };
  const deployCaller = async (): Promise<void> => {
    const { chain, key } = await authority.issue({ subject: "CN=caller" });
    const made = await platform.api("POST", "/accounts/{account}/mtls_certificates", {
      certificates: chain,
      private_key: key,
      ca: false,
    });
    const ca = { certificates: authority.pem, ca: true };
    await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
    const type = "mtls_certificate";
    const bindings = [{ type, name: "CERT", certificate_id: made.json.result.id }];
    const code = `export default { fetch: (request, env) => env.CERT.fetch("${origin.url}/") };`;
    const form = scriptForm(
      { compatibility_date: "2026-11-01", bindings },
      { "w.js": ["application/javascript+module", code] },
    );
    const { json } = await platform.api("PUT", "/accounts/{account}/workers/scripts/caller", form);
    assert.ok(json.success, JSON.stringify(json.errors));
  };
  const call = async (): Promise<string> => (await platform.worker("caller")).body;

  it("without a sandbox the gateway runs as the platform, and the start says so", async () => {
    assert.match(users(platform), /run as the platform's user \(--sandbox off\)$/);
    const { gateway } = await platformClient(dataFolder).status();
    assert.equal(statusOf(gateway.pid!, "Uid"), "0 0 0 0");
    assert.equal(await call(), "CN=caller");
  });

  it("a data folder that was made without is used by a gateway with a user of its own, after kill -9 too", async () => {
    await restart(args);
    assert.match(users(platform), /users of their own/);
    assert.equal(await call(), "CN=caller");
    const { gatewayProcesses } = await platformClient(dataFolder).status();
    const pids = gatewayProcesses.map(({ pid }) => pid!);
    assert.equal(pids.length, 2);
    for (const pid of pids) assertConfined(pid);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until(async () => {
      const now = (await platformClient(dataFolder).status()).gatewayProcesses;
      return now.every(({ pid, state }) => state === "running" && !pids.includes(pid!));
    });
    const again = await platformClient(dataFolder).status();
    for (const { pid } of again.gatewayProcesses) assertConfined(pid!);
    assert.equal(await call(), "CN=caller");
  });

  it("uploaded keys are read by a process with another user of its own", async () => {
    const { chain, key } = await authority.issue({ subject: "CN=uploaded" });
    const body = { certificates: chain, private_key: key, ca: false };
    const uploaded = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    assert.ok(uploaded.json.success);
    const reader = family(platform.process.pid!).find((pid) => /intake\/main/.test(line(pid)));
    assert.ok(reader, "it is kept for a second after the upload");
    assertConfined(reader);
    const { gateway } = await platformClient(dataFolder).status();
    assert.notEqual(statusOf(reader, "Uid"), statusOf(gateway.pid!, "Uid"));
  });

  it("the ingress reaches Workers and listens at a low port, and comes back after kill -9", async () => {
    const port = await lowPort();
    await restart([...args, "--http-port", String(port)]);
    const first = await platformClient(dataFolder).status();
    assertConfined(first.ingress.pid!);
    assert.equal(new URL(platform.ready.http).port, String(port === 80 ? "" : port));
    process.kill(first.ingress.pid!, "SIGKILL");
    // Its clients wait for the next process.
    assert.equal(await call(), "CN=caller");
    const { ingress, workers } = await platformClient(dataFolder).status();
    assert.notEqual(ingress.pid, first.ingress.pid);
    assertConfined(ingress.pid!);
    const { pid } = workers.find(({ scriptName }) => scriptName === "caller")!;
    process.kill(pid!, "SIGKILL");
    await until(async () => (await call()) === "CN=caller");
  });

  it(
    "a program in the ingress's place reaches Workers' doors, and nothing else",
    { skip: !gcc && "needs gcc" },
    async () => {
      const { ingress } = await platformClient(dataFolder).status();
      const id = Number(statusOf(ingress.pid!, "Uid").split(" ")[0]);
      const [file, ...given] = asUser({ setpriv, id }, [attacker]);
      const cwd = join(dataFolder, "run", "i");
      const launch = { file, args: given, cwd, filter: null, tellsPid: false };
      const target = platform.process.pid!;
      const found = await attackFrom(platform, launch, { folder: cwd, target });
      for (const [what, answer] of found) {
        if (![...everybodys, ...kernels].includes(what)) assert.equal(answer, "no", what);
      }
    },
  );

  it(
    "a program in the gateway's place reaches no key, file, socket or process of the platform",
    { skip: !gcc && "needs gcc" },
    async () => {
      const { gateway } = await platformClient(dataFolder).status();
      const id = Number(statusOf(gateway.pid!, "Uid").split(" ")[0]);
      const [file, ...given] = asUser({ setpriv, id }, [attacker]);
      const launch = { file, args: given, cwd: "/", filter: null, tellsPid: false };
      const found = await attackFrom(platform, launch, {
        folder: null,
        target: platform.process.pid!,
      });
      assert.ok(found.size > 20);
      for (const [what, answer] of found) {
        if (![...everybodys, ...kernels].includes(what)) assert.equal(answer, "no", what);
      }
    },
  );

  it("doctor says what is in force, and a backup of it is restored", async () => {
    const { stdout } = await countersign(["doctor", "--data", dataFolder, "--json"]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; finding: string }[] };
    const { finding } = checks.find(({ name }) => name === "users")!;
    assert.equal(finding, users(platform));
    const limits = checks.find(({ name }) => name === "memory limits")!.finding;
    assert.match(
      limits,
      /^the kernel limits each Worker's: RLIMIT_DATA(, and a cgroup each|; no cgroups: )/,
    );
    const file = join(temporary, "backup.db");
    await countersign(["backup", file, "--data", dataFolder]);
    await platform.end("SIGTERM");
    await countersign(["restore", file, "--data", dataFolder, "--force"]);
    platform = await startPlatform({ dataFolder, args, token: platform.ready.token });
    assert.equal(await call(), "CN=caller");
  });

  it("a file of trusted CAs that a user of its own could not read leaves all as it was, and is named", async () => {
    const closed = join(temporary, "closed");
    mkdirSync(closed, { mode: 0o700 });
    const file = join(closed, "roots.pem");
    writeFileSync(file, authority.pem, { mode: 0o600 });
    process.env["NODE_EXTRA_CA_CERTS"] = file;
    try {
      const found = await findProcessUsers("auto", dataFolder);
      assert.deepEqual([found.gateway, found.isInForce, found.isHindered], [null, false, true]);
      assert.ok(found.summary.includes(`they cannot read ${file}`), found.summary);
      chmodSync(closed, 0o755);
      chmodSync(file, 0o644);
      assert.ok((await findProcessUsers("auto", dataFolder)).isInForce);
    } finally {
      delete process.env["NODE_EXTRA_CA_CERTS"];
    }
  });

  it("a platform that is not root has none to give, and misses none", () => {
    const script = `
      const { findProcessUsers } = await import(${JSON.stringify(import.meta.resolve("../src/process/walls/process-users.ts"))});
      console.log(JSON.stringify(await findProcessUsers("required", "/nowhere")));`;
    const node = [process.execPath, "--input-type=module", "-e", script] as const;
    const [file, ...rest] = asUser({ setpriv, id: 65_534 }, node);
    const found = JSON.parse(execFileSync(file, rest, { cwd: "/", encoding: "utf8" })) as object;
    assert.deepEqual(found, {
      summary:
        "the gateway, the ingress and the reader of keys run as the platform's user (users of their own need root)",
      isInForce: false,
      isHindered: false,
      gateway: null,
      ingress: null,
      intake: null,
    });
  });
});

/** What the machine allows every user. */
const everybodys = ["passwd", "written-in-tmp", "other-processes-seen", "shell-started"];
const kernels = ["user-namespace", "io-uring", "keyring"];

/** A port that needs a privilege to listen on, and on which nothing listens. */
async function lowPort(): Promise<number> {
  for (;;) {
    const port = randomInt(200, 1_024);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await Promise.race([
      once(server, "listening").then(() => true),
      once(server, "error").then(() => false),
    ]);
    server.close();
    if (isFree) return port;
  }
}

function users(platform: TestPlatform): string {
  return (platform.ready as unknown as { users: string }).users;
}

/** It has its own user and only its own group, no capabilities, and cannot gain any. */
function assertConfined(pid: number): void {
  const [id] = statusOf(pid, "Uid").split(" ");
  assert.ok(Number(id) > 65_536, line(pid));
  assert.equal(statusOf(pid, "Uid"), Array(4).fill(id).join(" "));
  assert.equal(statusOf(pid, "Gid"), Array(4).fill(id).join(" "));
  assert.equal(statusOf(pid, "Groups"), "");
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    assert.match(statusOf(pid, set), /^0+$/, set);
  }
  assert.equal(statusOf(pid, "NoNewPrivs"), "1");
}

function statusOf(pid: number, field: string): string {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const value = new RegExp(`^${field}:(.*)$`, "m").exec(status)![1]!;
  return value.trim().replaceAll(/\s+/g, " ");
}

function line(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

function family(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children === "" ? [] : children.split(" ").map(Number);
}

function whyNot(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  if (setpriv === "") return "needs setpriv of util-linux";
  return false;
}
