import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { commands } from "../src/cli/commands.ts";
import { startPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";

const run = promisify(execFile);

/** Prints the files that were loaded, after everything else. */
const hooks = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from "node:module";
  const loaded = [];
  registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
  process.on("exit", () => process.stderr.write(JSON.stringify(loaded)));
`)}`;

async function loadedBy(...argv: readonly string[]): Promise<readonly string[]> {
  const { stderr } = await run(process.execPath, ["--import", hooks, program, ...argv]);
  return (JSON.parse(stderr) as string[]).filter((url) => url.startsWith("file:"));
}

/** Modules that the command line itself needs. */
const light =
  /node_modules\/(commander|picocolors)\/|\/(src|dist)\/(cli|failures|terminal|contract)\/|bin\/|helpers\/built\//;

test("--version and --help load the command line alone, and none of the commands", async () => {
  for (const argv of [["--version"], ["--help"]]) {
    const loaded = await loadedBy(...argv);
    assert.deepEqual(
      loaded.filter((url) => !light.test(url) || url.includes("/commands/")),
      [],
    );
    assert.ok(loaded.length < 60, `${argv.join(" ")} loads ${loaded.length} files`);
  }
});

test("the help of a command loads that command, and nothing that it works with", async () => {
  for (const { name } of commands) {
    const loaded = await loadedBy(name, "--help");
    assert.ok(loaded.length < 90, `${name} --help loads ${loaded.length} files`);
    assert.deepEqual(
      loaded.filter((url) => /node_modules/.test(url) && !light.test(url)),
      [],
      `${name} --help`,
    );
  }
});

test("a start loads the OAuth server for the first who signs in, and not before", async () => {
  const platform = await startPlatform({ env: { NODE_OPTIONS: `--import=${hooks}` } });
  await platform[Symbol.asyncDispose]();
  const loaded = JSON.parse(platform.log().slice(platform.log().lastIndexOf("["))) as string[];
  assert.ok(loaded.some((url) => url.includes("node_modules/kysely")));
  assert.deepEqual(
    loaded.filter((url) => /node_modules\/(oidc-provider|koa)\//.test(url)),
    [],
  );
});

test("a connection goes on after what the OAuth server has answered", async () => {
  await using platform = await startPlatform();
  const { hostname, port } = new URL(platform.ready.api);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let connections = 0;
  try {
    for (let count = 0; count < 4; count += 1) {
      const asked = request({ host: hostname, port, path: "/oauth2/auth?client_id=none", agent });
      asked.once("socket", (socket) => socket.once("connect", () => (connections += 1))).end();
      const [answer] = (await once(asked, "response")) as [IncomingMessage];
      assert.equal(answer.statusCode, 400);
      assert.match(await text(answer), /<!doctype html>/i);
    }
  } finally {
    agent.destroy();
  }
  assert.equal(connections, 1);
  assert.doesNotMatch(platform.log(), /ERR_HTTP_HEADERS_SENT/);
});

test("a pipe that closes early is no error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-pipe-"));
  try {
    for (const argv of ["--help", `doctor --data ${folder}`, `doctor --data ${folder} --json`]) {
      const { stderr } = await run("bash", [
        "-c",
        `"$0" "$1" ${argv} | true`,
        process.execPath,
        program,
      ]);
      assert.equal(stderr, "", argv);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
