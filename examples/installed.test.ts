import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { spawnProgram, type RunningProgram } from "../test/helpers/dev-project.ts";

// Examples with their own packages. `npm run test:examples` builds Countersign first, because they import the published
// form.

const countersign = join(import.meta.dirname, "..", "bin", "countersign.js");

function install(name: string): void {
  before(() =>
    promisify(execFile)("npm", ["install", "--no-audit", "--no-fund"], { cwd: path(name) }),
  );
}

function path(name: string): string {
  return join(import.meta.dirname, name);
}

describe("vitest", () => {
  install("vitest");

  test("a suite whose Worker presents a real certificate passes, and ends by itself", async () => {
    await using vitest = start("vitest", ["node_modules/vitest/vitest.mjs", "run"]);
    assert.equal(await vitest.ended, 0, vitest.output);
    assert.match(vitest.output, /3 passed/);
    assert.doesNotMatch(vitest.output, /close timed out/);
  });
});

describe("vite-react", () => {
  install("vite-react");

  test("Vite's server gives the Worker its mTLS binding", async () => {
    await using origin = start("vite-react", [countersign, "dev", "origin"]);
    await origin.says(/https:\/\/localhost:8443 lets in/);
    await using vite = start("vite-react", ["node_modules/vite/bin/vite.js", "--port", "0"]);
    const [, url] = await vite.says(/Local:.*(http:\/\/localhost:\d+)/);
    const response = await fetch(`${url}/api/stock`);
    assert.equal(response.status, 200, vite.output);
    const seen = (await response.json()) as { client: { subject: string } };
    assert.match(seen.client.subject, /CN=STOCK_CERT,OU=vite-react/);
    assert.match(await (await fetch(`${url}/`)).text(), /id="root"/);
  });

  test("a build keeps the binding as it is", async () => {
    await using build = start("vite-react", ["node_modules/vite/bin/vite.js", "build"]);
    assert.equal(await build.ended, 0, build.output);
    const { default: config } = (await import(
      join(path("vite-react"), "dist/vite_react/wrangler.json"),
      { with: { type: "json" } }
    )) as { default: { mtls_certificates: readonly { binding: string }[]; services: unknown[] } };
    assert.equal(config.mtls_certificates[0]?.binding, "STOCK_CERT");
    assert.deepEqual(config.services, []);
  });
});

describe("older-wrangler", () => {
  install("older-wrangler");

  test("the wrangler of a year before serves the binding as well", async () => {
    await using origin = start("older-wrangler", [countersign, "dev", "origin", "--port", "0"]);
    const [originUrl] = await origin.says(/https:\/\/localhost:\d+/);
    const args = [countersign, "dev", "--port", "0", "--inspector-port", "0"];
    await using dev = start("older-wrangler", [...args, "--var", `ORIGIN:${originUrl}`]);
    const [, url = ""] = await dev.says(/Ready on (http\S+)/);
    assert.match(dev.output, /with wrangler 4\.48\.0/);
    const response = await fetch(url);
    const seen = (await response.json()) as { client: { subject: string } };
    assert.match(seen.client.subject, /CN=MY_CERT,OU=older-wrangler/);
    assert.doesNotMatch(dev.output, /Unable to fetch/);
  });
});

function start(example: string, args: readonly string[]): RunningProgram {
  return spawnProgram(process.execPath, args, path(example));
}
