import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, test } from "node:test";
import { main } from "../src/cli/main.ts";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("what is final asks first", () => {
  let platform: TestPlatform;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "countersign-final-"));
    platform = await startPlatform();
    const client = await (await makeAuthority()).issue({ subject: "CN=final" });
    writeFileSync(join(folder, "cert.pem"), client.chain);
    writeFileSync(join(folder, "key.pem"), client.key);
    const upload = ["certificate", "upload", "--name", "final", "--cert", "cert.pem"];
    const uploaded = await run(...upload, "--key", "key.pem");
    assert.equal(uploaded.status, 0, uploaded.stderr);
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (...argv: readonly string[]) =>
    countersign([...argv, "--data", platform.dataFolder], { cwd: folder });

  const onTerminal = async (answer: string, ...argv: readonly string[]) => {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const stderr = Object.assign(new PassThrough(), { isTTY: true });
    let said = "";
    stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("[y/N]") && stdin.writable) stdin.end(`${answer}\n`);
    });
    const io = { stdin, stderr, stdout: new PassThrough(), env: {}, cwd: folder };
    const status = await main([...argv, "--data", platform.dataFolder], io);
    return { status, said };
  };

  test("without a terminal and without --yes it is refused, and nothing is changed", async () => {
    for (const argv of [
      ["certificate", "revoke", "final"],
      ["certificate", "delete", "final"],
      ["user", "remove", "ada@example.com"],
      ["token", "revoke", "first start"],
      ["keys", "rotate", "--abandon-damaged"],
    ]) {
      const { status, stdout } = await run(...argv, "--json");
      assert.equal(status, 2, argv.join(" "));
      assert.equal(JSON.parse(stdout).error.code, "confirmation_needed", argv.join(" "));
    }
    const { stdout } = await run("certificate", "show", "final", "--json");
    assert.equal(JSON.parse(stdout).revoked_on, null);
  });

  test("before a certificate is revoked, the Workers that it breaks are named", async () => {
    const shown = JSON.parse((await run("certificate", "show", "final", "--json")).stdout);
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: shown.id }];
    const form = () => scriptForm({ bindings, compatibility_date: "2026-11-01" });
    const path = "/accounts/{account}/workers/scripts";
    await Promise.all(
      ["cart", "shop"].map((name) => platform.api("PUT", `${path}/${name}`, form())),
    );
    const refused = await run("certificate", "revoke", "final");
    assert.equal(refused.status, 2);
    const asked = await onTerminal("n", "certificate", "revoke", "final");
    for (const said of [refused.stderr, asked.said]) {
      assert.match(said, /breaks the Workers that bind it: cart, shop/);
    }
    await platform.api("DELETE", `${path}/cart`);
    const one = await onTerminal("n", "certificate", "revoke", "final", "--version", "1");
    assert.match(one.said, /breaks the Worker that binds it: shop/);
    await platform.api("DELETE", `${path}/shop`);
    const none = await onTerminal("n", "certificate", "revoke", "final");
    assert.doesNotMatch(none.said, /breaks/);
  });

  test("on a terminal a no changes nothing, and a yes does it", async () => {
    const no = await onTerminal("n", "certificate", "revoke", "final");
    assert.equal(no.status, 1);
    assert.match(no.said, /revokes every version of final for good/);
    const kept = await run("certificate", "show", "final", "--json");
    assert.equal(JSON.parse(kept.stdout).revoked_on, null);
    assert.equal((await onTerminal("y", "certificate", "delete", "final")).status, 0);
    assert.equal((await run("certificate", "show", "final")).status, 1);
  });
});

describe("completion", () => {
  test("bash completes commands, their commands and their options", async () => {
    const { stdout } = await countersign(["completion", "bash"]);
    const complete = (...words: readonly string[]): readonly string[] => {
      const script = `${stdout}
COMP_WORDS=(countersign "$@"); COMP_CWORD=$#; _countersign; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", script, "bash", ...words])
        .toString()
        .trim()
        .split("\n");
    };
    assert.ok(complete("cert").includes("certificate"));
    assert.deepEqual(complete("certificate", "revo"), ["revoke"]);
    assert.ok(complete("cert", "revoke", "--").includes("--yes"));
    assert.ok(complete("start", "--data", "x", "--").includes("--api-port"));
  });

  test("zsh and fish get every command, too", async () => {
    for (const shell of ["zsh", "fish"]) {
      const { status, stdout } = await countersign(["completion", shell]);
      assert.equal(status, 0);
      for (const name of ["certificate", "revoke", "watch-folder", "login"]) {
        assert.match(stdout, new RegExp(`\\b${name}\\b`), `${shell}: ${name}`);
      }
    }
    assert.equal((await countersign(["completion", "tcsh"])).status, 2);
  });
});

describe("the files for operators", () => {
  test("the systemd unit starts the program itself and stops it gracefully", async () => {
    const unit = read("countersign.service");
    const [, command = ""] =
      /^ExecStart=\/usr\/bin\/node \/opt\/countersign\/bin\/countersign\.js (.+)$/m.exec(unit) ??
      [];
    const { status, stdout } = await countersign([...command.split(" "), "--help"]);
    assert.equal(status, 0, stdout);
    assert.match(unit, /^KillMode=mixed$/m);
    assert.match(unit, /^TimeoutStopSec=\d+$/m);
    // What would make the groups read-only that it is given by the other.
    assert.match(unit, /^Delegate=memory$/m);
    assert.doesNotMatch(unit, /^ProtectControlGroups=/m);
    for (const line of unit.split("\n")) assert.match(line, /^(#.*|\[[A-Z]\w+\]|[A-Z]\w+=.*|)$/);
  });

  test("the container starts the program itself, with existing options", async () => {
    const file = read("Containerfile");
    assert.match(file, /^ENTRYPOINT \["node", "[^"]+\/bin\/countersign\.js"\]$/m);
    const [, argv = "[]"] = /^CMD (\[.+\])$/m.exec(file) ?? [];
    const { status } = await countersign([...(JSON.parse(argv) as string[]), "--help"]);
    assert.equal(status, 0);
  });
});

function read(name: string): string {
  return readFileSync(join(import.meta.dirname, "..", "assets/deploy", name), "utf8");
}
