import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkFileLimit } from "../src/cli/doctor-storage.ts";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("with a platform that runs", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform[Symbol.asyncDispose]());

  test("start --json prints one line with everything a program needs", () => {
    const { api, http, accountId, token } = platform.ready;
    assert.match(api, /^http:\/\/127\.0\.0\.1:\d+\/client\/v4$/);
    assert.match(http, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(accountId, /^[0-9a-f]{32}$/);
    assert.ok(token.length >= 40);
  });

  test("env prints exports that a POSIX shell reads, with a token that works", async () => {
    const { status, stdout } = await countersign(["env", "--data", platform.dataFolder]);
    assert.equal(status, 0);
    const shown = execFileSync("sh", [
      "-c",
      `${stdout}\necho "$CLOUDFLARE_API_BASE_URL|$CLOUDFLARE_ACCOUNT_ID|$CLOUDFLARE_API_TOKEN"`,
    ]);
    const [api, accountId, token] = shown.toString().trim().split("|");
    assert.equal(api, platform.ready.api);
    assert.equal(accountId, platform.ready.accountId);
    const verified = await fetch(`${api}/user/tokens/verify`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(verified.status, 200);
  });

  test("env prints the token again that the environment has and that still works", async () => {
    const argv = ["env", "--data", platform.dataFolder, "--json"];
    const { token } = platform.ready;
    const again = await countersign(argv, { env: { CLOUDFLARE_API_TOKEN: token } });
    assert.equal(JSON.parse(again.stdout).CLOUDFLARE_API_TOKEN, token);
    const other = await countersign(argv, { env: { CLOUDFLARE_API_TOKEN: "no-such-token" } });
    assert.notEqual(JSON.parse(other.stdout).CLOUDFLARE_API_TOKEN, "no-such-token");
  });

  test("a second start on the data folder says who holds it and ends with status 4", async () => {
    const argv = ["start", "--data", platform.dataFolder, "--api-port", "0", "--http-port", "0"];
    const { status, stderr } = await countersign(argv);
    assert.equal(status, 4);
    assert.match(stderr, new RegExp(`in use by process ${platform.process.pid}`));
    assert.equal((await platform.api("GET", "/user/tokens/verify")).status, 200);
  });

  test("a port that is taken is said, and leaves the data folder free", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-cli-"));
    try {
      const port = new URL(platform.ready.api).port;
      const argv = ["start", "--data", folder, "--api-port", port, "--http-port", "0", "--json"];
      const { status, stdout } = await countersign(argv);
      assert.equal(status, 1);
      assert.equal(JSON.parse(stdout).error.code, "port_in_use");
      const again = await startPlatform({ dataFolder: folder });
      await again[Symbol.asyncDispose]();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("doctor finds nothing wrong with a platform that runs", async () => {
    const { status, stdout } = await countersign([
      "doctor",
      "--data",
      platform.dataFolder,
      "--json",
    ]);
    const { healthy, checks } = JSON.parse(stdout);
    assert.deepEqual(
      checks.filter((check: { result: string }) => check.result !== "ok"),
      [],
    );
    assert.ok(healthy);
    assert.equal(status, 0);
    for (const name of ["node", "workerd", "data folder", "master key", "gateway", "ingress"]) {
      assert.ok(
        checks.some((check: { name: string }) => check.name === name),
        `no check of ${name}`,
      );
    }
  });

  test("deploy outside of a project with wrangler says what to install", async () => {
    const { status, stderr } = await countersign(["deploy", "--data", platform.dataFolder], {
      cwd: tmpdir(),
    });
    assert.equal(status, 1);
    assert.match(stderr, /npm install --save-dev wrangler/);
  });
});

describe("without a platform", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "countersign-cli-"))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("env says how to start one and ends with status 3", async () => {
    const { status, stdout, stderr } = await countersign(["env", "--data", folder]);
    assert.equal(status, 3);
    assert.equal(stdout, "");
    assert.match(stderr, /countersign start/);
  });

  test("a failure with --json is one JSON object with its code", async () => {
    const { stdout } = await countersign(["env", "--data", folder, "--json"]);
    assert.equal(JSON.parse(stdout).error.code, "platform_not_running");
  });

  test("a command line that is not understood ends with status 2", async () => {
    assert.equal((await countersign(["begin"])).status, 2);
    assert.equal((await countersign(["start", "--no-such-option"])).status, 2);
    const wrong = await countersign(["start", "--data", folder, "--api-port", "70000"]);
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /--api-port "70000" is not a port/);
    const many = await countersign(["start", "--data", folder, "--gateway-processes", "33"]);
    assert.match(
      many.stderr,
      /--gateway-processes "33" is neither "auto" nor a number from 1 to 32/,
    );
    const ingresses = await countersign(["start", "--data", folder, "--ingress-processes", "-1"]);
    assert.equal(ingresses.status, 2);
    assert.match(ingresses.stderr, /--ingress-processes "-1" is neither "auto" nor a number/);
    const few = ["--gateway-processes", "3", "--connect-limit", "2"];
    const shared = await countersign(["start", "--data", folder, ...few]);
    assert.equal(shared.status, 2);
    assert.match(shared.stderr, /--connect-limit 2 cannot be shared out among 3 gateway processes/);
    const none = await countersign(["start", "--data", folder, "--worker-processes", "0"]);
    assert.equal(none.status, 2);
    assert.match(
      none.stderr,
      /--worker-processes "0" is neither "auto" nor a number from 1 to 256/,
    );
  });

  test("help and version end with status 0", async () => {
    for (const argv of [["--help"], ["start", "--help"], ["--version"]]) {
      const { status, stdout } = await countersign(argv);
      assert.equal(status, 0);
      assert.ok(stdout.length > 0);
    }
  });

  test("doctor says how many files the platform that runs may open, and not itself", async () => {
    const child = spawn("sh", ["-c", "ulimit -n 100 && echo ready && exec cat"]);
    try {
      await once(child.stdout, "data");
      assert.match(checkFileLimit(child.pid)!.finding, /^100 a process/);
    } finally {
      child.kill();
    }
  });

  test("doctor finds a master key that others can read", async () => {
    writeFileSync(join(folder, "master.key"), Buffer.alloc(32, 1).toString("base64"));
    chmodSync(join(folder, "master.key"), 0o644);
    const ports = ["--api-port", "0", "--http-port", "0"];
    const { status, stdout } = await countersign(["doctor", "--data", folder, "--json", ...ports]);
    assert.equal(status, 1);
    const check = JSON.parse(stdout).checks.find(
      ({ name }: { name: string }) => name === "master key",
    );
    assert.equal(check.result, "wrong");
    assert.match(check.fix, /chmod 600/);
  });
});

test("a platform is refused a data folder whose master key is another or gone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-cli-"));
  try {
    const first = await startPlatform({ dataFolder: folder });
    await first[Symbol.asyncDispose]();
    const argv = ["start", "--data", folder, "--api-port", "0", "--http-port", "0", "--json"];
    const other = { COUNTERSIGN_MASTER_KEY: Buffer.alloc(32, 9).toString("hex") };
    const wrong = await countersign(argv, { env: other });
    assert.equal(JSON.parse(wrong.stdout).error.code, "master_key_wrong");
    rmSync(join(folder, "master.key"));
    const missing = await countersign(argv);
    assert.equal(JSON.parse(missing.stdout).error.code, "master_key_missing");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
