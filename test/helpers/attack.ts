import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { platformClient } from "../../src/cli/client/platform-client.ts";
import { ABSENT_SOCKET } from "../../src/ingress/protocol.ts";
import { enter } from "../../src/process/walls/enter.ts";
import type { Launch, Sandbox } from "../../src/process/walls/sandbox-kinds.ts";
import { answering } from "./edge.ts";
import { makeAuthority } from "./pki.ts";
import type { TestPlatform } from "./platform.ts";
import { scriptForm } from "./script-form.ts";

/** Builds a program that tries what native code could do after taking over a workerd. */
export function buildAttacker(path: string): void {
  execFileSync("gcc", ["-o", path, join(import.meta.dirname, "attacker.c")]);
}

/**
 * Two Workers, "own" and "victim", each with a certificate binding and a secret; and a third that binds the victim's
 * Durable Objects, so the victim has a socket for them.
 */
export async function deployVictims(platform: TestPlatform): Promise<void> {
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=a Worker" });
  const body = { certificates: chain, private_key: key, ca: false };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
  const certificate = (json.result as { id: string }).id;
  const bound = await otherBindings(platform);
  for (const name of ["own", "victim"]) {
    const bindings = [
      { type: "mtls_certificate", name: "CERT", certificate_id: certificate },
      { type: "secret_text", name: "SECRET", text: `the secret of ${name}` },
      ...(name === "victim" ? bound : []),
    ];
    const isVictim = name === "victim";
    await deploy(platform, name, answering(name) + (isVictim ? OBJECT : ""), {
      bindings,
      ...(isVictim && { migrations: { new_tag: "v1", new_sqlite_classes: ["Kept"] } }),
    });
  }
  const type = "durable_object_namespace";
  const remote = { type, name: "KEPT", class_name: "Kept", script_name: "victim" };
  await deploy(platform, "friend", answering("friend"), { bindings: [remote] });
  const [objects, friends] = ["victim", "friend"].map((name) =>
    socketsIn(folderOf(platform, name)),
  );
  assert.ok(!friends!.isDisjointFrom(objects!), "the victim's objects have a socket");
}

/** By inode, because a socket that another Worker is bound to is in both folders. */
function socketsIn(folder: string): ReadonlySet<number> {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  const sockets = entries.filter((entry) => entry.isSocket());
  return new Set(sockets.map(({ parentPath, name }) => statSync(join(parentPath, name)).ino));
}

const OBJECT = `
export class Kept { fetch() { return new Response("kept"); } }`;

async function deploy(
  platform: TestPlatform,
  name: string,
  code: string,
  metadata: object,
): Promise<void> {
  const form = scriptForm(
    { compatibility_date: "2026-11-01", ...metadata },
    { "w.js": ["application/javascript+module", code] },
  );
  const path = `/accounts/{account}/workers/scripts/${name}`;
  const { status, json } = await platform.api("PUT", path, form);
  assert.equal(status, 200, JSON.stringify(json.errors));
}

/** One binding of each kind that has its own socket. */
async function otherBindings(platform: TestPlatform): Promise<readonly object[]> {
  const make = async (path: string, body: object): Promise<Record<string, string>> => {
    const { json } = await platform.api("POST", `/accounts/{account}/${path}`, body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return json.result as Record<string, string>;
  };
  const origin = { scheme: "postgres", host: "db.example", port: 5432, database: "d", user: "u" };
  const { id: kv } = await make("storage/kv/namespaces", { title: "kv" });
  const { uuid: d1 } = await make("d1/database", { name: "d1" });
  await make("r2/buckets", { name: "bucket" });
  await make("queues", { queue_name: "jobs" });
  const { id: database } = await make("hyperdrive/configs", {
    name: "db",
    origin: { ...origin, password: "p" },
  });
  return [
    { type: "kv_namespace", name: "KV", namespace_id: kv },
    { type: "d1", name: "D1", id: d1 },
    { type: "r2_bucket", name: "R2", bucket_name: "bucket" },
    { type: "queue", name: "QUEUE", queue_name: "jobs" },
    { type: "hyperdrive", name: "DB", id: database },
    { type: "service", name: "SELF", service: "own" },
  ];
}

/** Runs the program as workerd is run, in the folder of the Worker "own", and returns what it reached. */
export async function attack(
  platform: TestPlatform,
  sandbox: Sandbox,
): Promise<Map<string, string>> {
  const folder = folderOf(platform, "own");
  const { gateway } = await platformClient(platform.dataFolder).status();
  return attackFrom(platform, sandbox.enter(folder), { folder, target: gateway.pid! });
}

/**
 * The same in any folder. @param options `folder`: what the program may use; `target`: the process that it tries to
 * read
 */
export async function attackFrom(
  platform: TestPlatform,
  launch: Launch,
  { folder, target }: { readonly folder: string | null; readonly target: number },
): Promise<Map<string, string>> {
  const { workers } = await platformClient(platform.dataFolder).status();
  const { pid } = workers.find(({ scriptName }) => scriptName === "victim")!;
  const { child, ended } = await enter(launch, {
    args: [],
    env: {
      DATA: platform.dataFolder,
      VICTIM_FOLDER: folderOf(platform, "victim"),
      VICTIM: String(pid),
      GATEWAY: String(target),
      OTHER_SOCKETS: socketsBut(platform.dataFolder, folder).join("\n"),
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

/**
 * Every socket of the platform, of Workers and of storage, except those in one folder, and the one that answers for
 * services that are not deployed.
 */
function socketsBut(data: string, folder: string | null): readonly string[] {
  const sockets = readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isSocket())
    .map(({ parentPath, name }) => join(parentPath, name));
  const absent = join(data, "run", ABSENT_SOCKET);
  const others = sockets.filter(
    (path) => path !== absent && (folder === null || !path.startsWith(`${folder}/`)),
  );
  assert.ok(others.length > 4 && others.length < sockets.length, sockets.join(", "));
  return others;
}

export function folderOf({ dataFolder }: TestPlatform, name: string): string {
  const generations = join(dataFolder, "run", "g");
  const folder = readdirSync(generations).find((id) =>
    readFileSync(join(generations, id, "m0"), "utf8").includes(answering(name)),
  );
  return join(generations, folder!);
}
