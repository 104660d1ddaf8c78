import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { Failure } from "../src/failures/failures.ts";
import { ownUser } from "../src/process/walls/own-user.ts";
import { findSandbox } from "../src/process/walls/sandbox.ts";
import { attack, buildAttacker, deployVictims } from "./helpers/attack.ts";
import { countersign } from "./helpers/cli.ts";
import { counter } from "./helpers/durable-objects.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const setpriv = spawnSync("sh", ["-c", "command -v setpriv"]).stdout.toString().trim();
const gcc = spawnSync("gcc", ["--version"]).status === 0;

describe("a separate user for each Worker", { skip: whyNot() }, () => {
  const temporary = mkdtempSync(join(tmpdir(), "countersign-users-test-"));
  const data = join(temporary, "data");
  const attacker = join(temporary, "attacker");
  const commands = join(temporary, "commands");
  // A PATH with all the machine's commands except bubblewrap.
  const args = { dataFolder: data, args: ["--dev", "--sandbox", "required"] };
  const options = { ...args, env: { PATH: commands } };
  let platform: TestPlatform;

  before(async () => {
    chmodSync(temporary, 0o755);
    mkdirSync(data);
    mkdirSync(commands);
    symlinkSync(setpriv, join(commands, "setpriv"));
    if (gcc) buildAttacker(attacker);
    platform = await startPlatform(options);
    await deployVictims(platform);
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    rmSync(temporary, { recursive: true });
  });

  const deploy = async (name: string, code: string, metadata: object): Promise<void> => {
    const form = scriptForm(
      { compatibility_date: "2026-11-01", ...metadata },
      { "index.js": ["application/javascript+module", code] },
    );
    const path = `/accounts/{account}/workers/scripts/${name}`;
    const { json } = await platform.api("PUT", path, form);
    assert.ok(json.success, JSON.stringify(json.errors));
  };
  const ask = async (name: string, path = "/"): Promise<unknown> => {
    const { status, body } = await platform.worker(name, path);
    assert.equal(status, 200, body);
    return JSON.parse(body);
  };

  it(
    "a program in workerd's place reaches no key, secret, socket or process but its own",
    { skip: !gcc && "needs gcc" },
    async () => {
      const found = await attack(platform, ownUser(setpriv, attacker, data));
      const needed = new Set(["own-configuration", "own-binding", "socket-folder-written"]);
      // What the machine allows every user.
      const everybodys = new Set([
        "passwd",
        "written-in-tmp",
        "other-processes-seen",
        "shell-started",
      ]);
      const kernels = new Set(["user-namespace", "io-uring", "keyring", "link-in-socket-folder"]);
      for (const [what, answer] of found) {
        if (everybodys.has(what) || kernels.has(what)) continue;
        assert.equal(answer, needed.has(what) ? "yes" : "no", what);
      }
    },
  );

  it("each has a user, and the start, doctor and the modes of the folders say so", async () => {
    const { sandbox, workers } = await platformClient(data).status();
    assert.equal(sandbox.kind, "user");
    const users = workers.map(({ pid }) => statSync(`/proc/${pid}`).uid);
    assert.equal(new Set(users).size, 3);
    assert.ok(users.every((user) => user > 65_536));
    const { pid } = workers[0]!;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    assert.match(status, /^CapBnd:\s+0+$/m);
    assert.equal(statSync(data).mode & 0o777, 0o710);
    const { stdout } = await countersign(["doctor", "--data", data, "--json"]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; result: string }[] };
    const of = (named: string): unknown => checks.find(({ name }) => name === named)?.result;
    assert.deepEqual([of("sandbox"), of("data folder")], ["ok", "ok"]);
    for (const file of ["master.key", "countersign.db", "lock", "admin.sock"]) {
      assert.equal(statSync(join(data, file)).mode & 0o077, 0, file);
    }
  });

  it("what Workers keep stays theirs when the platform starts again, in this sandbox or another", async () => {
    const { json } = await platform.api("POST", "/accounts/{account}/storage/kv/namespaces", {
      title: "kept",
    });
    const keeps = {
      bindings: [
        { type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" },
        { type: "kv_namespace", name: "KV", namespace_id: json.result.id },
      ],
    };
    const code = counter(`async kv() {
      const n = Number(await this.env.KV.get("n")) + 1;
      await this.env.KV.put("n", String(n));
      return n;
    }`);
    const migrations = { new_tag: "v1", new_sqlite_classes: ["Counter"] };
    await deploy("keeper", code, { ...keeps, migrations });
    await deploy(
      "caller",
      `export default { fetch: (request, env) => env.KEEPER.fetch(request) };`,
      {
        bindings: [{ type: "service", name: "KEEPER", service: "keeper" }],
      },
    );
    assert.deepEqual([await ask("caller", "/a/hit"), await ask("keeper", "/a/kv")], [1, 1]);
    const again = { token: platform.ready.token };
    for (const [count, how] of [
      [2, { ...args, args: ["--dev", "--sandbox", "off"] }],
      [3, options],
    ] as const) {
      await platform.end("SIGTERM");
      platform = await startPlatform({ ...how, ...again });
      assert.deepEqual(
        [await ask("caller", "/a/hit"), await ask("keeper", "/a/kv")],
        [count, count],
      );
    }
    await deploy("keeper", `${code}\n// again`, keeps);
    assert.equal(await ask("caller", "/a/hit"), 4);
  });
});

it(
  "users that cannot pass through to the data folder are none, and it is said where",
  { skip: whyNot() },
  async () => {
    const closed = mkdtempSync(join(tmpdir(), "countersign-closed-"));
    const { PATH } = process.env;
    const commands = join(closed, "commands");
    mkdirSync(commands);
    symlinkSync(setpriv, join(commands, "setpriv"));
    process.env["PATH"] = commands;
    try {
      const top = join(closed, "data");
      const { kind, summary } = await findSandbox(process.execPath, "auto", top);
      assert.equal(kind, "privileges");
      assert.ok(summary.includes(`cannot pass through "${closed}"`), summary);
      await assert.rejects(
        findSandbox(process.execPath, "required", top),
        (error) => error instanceof Failure && error.code === "sandbox_unavailable",
      );
    } finally {
      process.env["PATH"] = PATH;
      rmSync(closed, { recursive: true });
    }
  },
);

function whyNot(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  if (setpriv === "") return "needs setpriv of util-linux";
  return false;
}
