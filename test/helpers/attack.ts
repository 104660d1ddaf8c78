import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { platformClient } from "../../src/cli/client/platform-client.ts";
import { enter } from "../../src/process/enter.ts";
import type { Sandbox } from "../../src/process/sandbox-kinds.ts";
import { answering } from "./edge.ts";
import { makeAuthority } from "./pki.ts";
import type { TestPlatform } from "./platform.ts";
import { scriptForm } from "./script-form.ts";

/** Builds the program that tries what native code would, once it has taken over a workerd. */
export function buildAttacker(path: string): void {
  execFileSync("gcc", ["-o", path, join(import.meta.dirname, "attacker.c")]);
}

/** Two Workers, "own" and "victim", each with a certificate's binding and a secret. */
export async function deployVictims(platform: TestPlatform): Promise<void> {
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=a Worker" });
  const body = { certificates: chain, private_key: key, ca: false };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
  const certificate = (json.result as { id: string }).id;
  for (const name of ["own", "victim"]) {
    const bindings = [
      { type: "mtls_certificate", name: "CERT", certificate_id: certificate },
      { type: "secret_text", name: "SECRET", text: `the secret of ${name}` },
    ];
    const form = scriptForm(
      { compatibility_date: "2026-11-01", bindings },
      { "w.js": ["application/javascript+module", answering(name)] },
    );
    const path = `/accounts/{account}/workers/scripts/${name}`;
    assert.equal((await platform.api("PUT", path, form)).status, 200);
  }
}

/** What a program finds that is run as workerd is, in the folder of the Worker "own". */
export async function attack(
  platform: TestPlatform,
  sandbox: Sandbox,
): Promise<Map<string, string>> {
  const { gateway, workers } = await platformClient(platform.dataFolder).status();
  const { pid } = workers.find(({ scriptName }) => scriptName === "victim")!;
  const { child, ended } = await enter(sandbox.enter(folderOf(platform, "own")), {
    args: [],
    env: {
      DATA: platform.dataFolder,
      VICTIM_FOLDER: folderOf(platform, "victim"),
      VICTIM: String(pid),
      GATEWAY: String(gateway.pid),
    },
    input: false,
  });
  let found = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (found += chunk));
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (found += chunk));
  assert.equal(await ended, "exited with status 0", found);
  const lines = found.trim().split("\n");
  return new Map(lines.map((line) => line.split(" ") as [string, string]));
}

export function folderOf({ dataFolder }: TestPlatform, name: string): string {
  const generations = join(dataFolder, "run", "g");
  const folder = readdirSync(generations).find((id) =>
    readFileSync(join(generations, id, "m0"), "utf8").includes(answering(name)),
  );
  return join(generations, folder!);
}
