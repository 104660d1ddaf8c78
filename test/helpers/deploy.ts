import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Envelope } from "./platform.ts";
import { scriptForm } from "./script-form.ts";
import type { WranglerProject, WranglerTarget } from "./wrangler.ts";

/**
 * Deploys a project as `wrangler deploy` does, by the same calls of the API, in a fiftieth of its
 * time: for tests to which the deploy is a preparation. It knows what the tests' projects have.
 */
export async function deploys(made: WranglerProject): Promise<void> {
  assert.equal(await deploy(made), "");
}

/** For those tests that are of wrangler's own deploy. */
export async function wranglerDeploys(made: WranglerProject): Promise<void> {
  const { exitCode, output } = await made.run(["deploy"]);
  assert.equal(exitCode, 0, output);
}

/** What is refused, as wrangler prints it; empty if everything is deployed. */
export async function deploy({ folder, target }: WranglerProject): Promise<string> {
  const file = ["wrangler.json", "wrangler.jsonc"]
    .map((name) => join(folder, name))
    .find(existsSync);
  const project = JSON.parse(readFileSync(file!, "utf8")) as Project;
  const api = callsTo(target);
  try {
    const script = `workers/scripts/${project.name}`;
    const assets = project.assets && (await uploadAssets(folder, script, project.assets, target));
    const metadata = { ...(await metadataOf(project, api)), ...(assets && { assets }) };
    await api("PUT", script, scriptForm(metadata, modulesOf(folder, project)));
    if (project.triggers) {
      const schedules = project.triggers.crons.map((cron) => ({ cron }));
      await api("PUT", `${script}/schedules`, schedules);
    }
    for (const { name, binding: _, ...workflow } of project.workflows ?? []) {
      await api("PUT", `workflows/${name}`, { script_name: project.name, ...workflow });
    }
    for (const consumer of project.queues?.consumers ?? []) {
      await consume(project.name, consumer, api);
    }
    return "";
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

/** Makes a queue, as `wrangler queues create` does. */
export async function makeQueue(
  { target }: WranglerProject,
  queue_name: string,
  settings: object = {},
): Promise<void> {
  await callsTo(target)("POST", "queues", { queue_name, settings });
}

/** The part of a configuration that tests use. */
interface Project {
  readonly name: string;
  /** Absent: there are assets alone. */
  readonly main?: string;
  readonly compatibility_date: string;
  readonly observability?: object;
  readonly assets?: Assets;
  readonly triggers?: { readonly crons: readonly string[] };
  readonly migrations?: readonly ({ readonly tag: string } & object)[];
  readonly durable_objects?: { readonly bindings: readonly object[] };
  readonly workflows?: readonly { readonly name: string; readonly binding: string }[];
  readonly kv_namespaces?: readonly { readonly binding: string; readonly id: string }[];
  readonly mtls_certificates?: readonly { readonly binding: string }[];
  readonly queues?: {
    readonly producers?: readonly {
      readonly binding: string;
      readonly queue: string;
      readonly delivery_delay?: number;
    }[];
    readonly consumers?: readonly Consumer[];
  };
}

interface Assets {
  readonly directory: string;
  readonly binding?: string;
}

interface Consumer {
  readonly queue: string;
  readonly max_batch_timeout?: number;
  readonly max_retries?: number;
  readonly dead_letter_queue?: string;
}

/** What is no asset, but says how they are answered. */
const RULES: ReadonlySet<string> = new Set(["_headers", "_redirects"]);

type Api = (method: string, path: string, body?: unknown) => Promise<Envelope["result"]>;

class Refused extends Error {}

function callsTo({ api, token, accountId }: WranglerTarget): Api {
  return async (method, path, body) => {
    const response = await fetch(`${api}/accounts/${accountId}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
    });
    const { success, errors, result } = (await response.json()) as Envelope;
    if (success) return result;
    throw new Refused(errors.map(({ message, code }) => `${message} [code: ${code}]`).join("\n"));
  };
}

function modulesOf(folder: string, { main }: Project): Parameters<typeof scriptForm>[1] {
  if (main === undefined) return {};
  const code = readFileSync(join(folder, main), "utf8");
  return { [main]: ["application/javascript+module", code] };
}

async function uploadAssets(
  folder: string,
  script: string,
  assets: Assets,
  target: WranglerTarget,
): Promise<object> {
  const { directory, binding: _, ...config } = assets;
  const root = join(folder, directory);
  const files = new Map<string, { readonly path: string; readonly content: Buffer }>();
  const rules: Record<string, string> = {};
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = relative(root, file);
    const content = readFileSync(file);
    if (RULES.has(path)) rules[path] = content.toString();
    else files.set(hashOf(path, content), { path: `/${path}`, content });
  }
  const manifest = Object.fromEntries(
    [...files].map(([hash, { path, content }]) => [path, { hash, size: content.length }]),
  );
  const begun = await callsTo(target)("POST", `${script}/assets-upload-session`, { manifest });
  const missing = (begun.buckets as string[][]).flat();
  const form = new FormData();
  for (const hash of missing) {
    const { path, content } = files.get(hash)!;
    const type = path.endsWith(".html") ? "text/html" : "text/plain";
    form.append(hash, new File([content.toString("base64")], hash, { type }));
  }
  const upload = callsTo({ ...target, token: begun.jwt });
  const { jwt } = missing.length === 0 ? begun : await upload("POST", UPLOAD, form);
  return { jwt, config: { ...config, ...rules } };
}

const UPLOAD = "workers/assets/upload?base64=true";

function hashOf(path: string, content: Buffer): string {
  return createHash("sha256").update(path).update(content).digest("hex").slice(0, 32);
}

async function metadataOf(project: Project, api: Api): Promise<object> {
  const migrations = project.migrations?.length ? await migrationsOf(project, api) : null;
  return {
    compatibility_date: project.compatibility_date,
    bindings: bindingsOf(project),
    ...(project.observability && { observability: project.observability }),
    ...(migrations && { migrations }),
  };
}

/** Those that come after the last one that was applied. */
async function migrationsOf({ name, migrations = [] }: Project, api: Api): Promise<object | null> {
  const scripts = (await api("GET", "workers/scripts")) as { id: string; migration_tag?: string }[];
  const applied = scripts.find(({ id }) => id === name)?.migration_tag;
  const last = migrations.findIndex(({ tag }) => tag === applied);
  const steps = migrations.slice(last + 1).map((migration) => {
    const { tag: _, ...step } = migration;
    return step;
  });
  if (steps.length === 0) return null;
  const new_tag = migrations.at(-1)!.tag;
  return { ...(applied && { old_tag: applied }), new_tag, steps };
}

function bindingsOf(project: Project): object[] {
  return [
    ...(project.assets?.binding ? [{ type: "assets", name: project.assets.binding }] : []),
    ...(project.durable_objects?.bindings ?? []).map((one) => ({
      type: "durable_object_namespace",
      ...one,
    })),
    ...(project.workflows ?? []).map(({ binding, name, ...one }) => {
      const { class_name, script_name } = one as { class_name?: string; script_name?: string };
      return { type: "workflow", name: binding, workflow_name: name, class_name, script_name };
    }),
    ...(project.kv_namespaces ?? []).map(({ binding: name, id }) => ({
      type: "kv_namespace",
      name,
      namespace_id: id,
    })),
    ...(project.mtls_certificates ?? []).map(({ binding: name, ...one }) => ({
      type: "mtls_certificate",
      name,
      ...one,
    })),
    ...(project.queues?.producers ?? []).map(({ binding: name, queue, delivery_delay }) => ({
      type: "queue",
      name,
      queue_name: queue,
      delivery_delay,
    })),
  ];
}

async function consume(script_name: string, consumer: Consumer, api: Api): Promise<void> {
  const [queue] = (await api("GET", `queues?name=${consumer.queue}`)) as {
    queue_id: string;
    consumers: { consumer_id: string; script?: string }[];
  }[];
  const { max_batch_timeout: timeout, max_retries, dead_letter_queue } = consumer;
  const max_wait_time_ms = timeout === undefined ? undefined : timeout * 1000;
  const settings = { max_retries, max_wait_time_ms };
  const body = { type: "worker", script_name, dead_letter_queue, settings };
  const path = `queues/${queue!.queue_id}/consumers`;
  const own = queue!.consumers.find(({ script }) => script === script_name);
  if (own) await api("PUT", `${path}/${own.consumer_id}`, body);
  else await api("POST", path, body);
}
