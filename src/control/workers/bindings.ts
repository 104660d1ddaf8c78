import { z } from "@hono/zod-openapi";
import { secretPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { IDENTITY } from "../../contract/identity.ts";
import { Failure } from "../../failures/failures.ts";
import { findCertificate } from "../../store/certificates/certificates.ts";
import { findHyperdrive } from "../../store/hyperdrive.ts";
import { findScript } from "../../store/workers/scripts.ts";
import type { Database } from "../../store/database.ts";
import { firstIssue } from "../api/endpoint.ts";
import { assertInProcess } from "./in-process.ts";
import { oneLine } from "../api/text.ts";
import { assertStored } from "./stored-targets.ts";
import { Refusals } from "./refusals.ts";

/** A binding as a client names it: what else it has depends on its type. */
export interface RequestedBinding {
  readonly name: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Of one version: far above what people have, and checked before any work. */
export const mostBindings = 1000;

const bindingName = oneLine.min(1).max(255);

export const requestedBinding: z.ZodType<RequestedBinding> = z
  .object({ name: bindingName, type: oneLine.max(255) })
  .loose();

/** They stand in the configuration of the Worker that is bound. */
const LONGEST_PROPS = 65_536;

const props = z
  .record(z.string(), z.json())
  .refine((value) => JSON.stringify(value).length <= LONGEST_PROPS, "is longer than 64 KiB");

const schemas = {
  plain_text: z.object({ text: z.string() }),
  json: z.object({ json: z.json() }),
  secret_text: z.object({ text: z.string() }),
  mtls_certificate: z.object({ certificate_id: oneLine }),
  hyperdrive: z.object({ id: oneLine }),
  service: z.object({
    service: oneLine,
    entrypoint: oneLine.optional(),
    // Services have no other environment here, as they have none at Cloudflare any more.
    environment: z.enum(["production", ""]).optional(),
    props: props.optional(),
  }),
  version_metadata: z.object({}),
  kv_namespace: z.object({ namespace_id: oneLine }),
  d1: z.object({ id: oneLine.optional(), database_id: oneLine.optional() }),
  r2_bucket: z.object({ bucket_name: oneLine, jurisdiction: oneLine.optional() }),
  queue: z.object({
    queue_name: oneLine,
    delivery_delay: z.number().int().min(0).max(86_400).optional(),
  }),
  ratelimit: z.object({
    namespace_id: z.string().regex(/^\d{1,20}$/),
    simple: z.object({
      limit: z.number().int().min(1).max(1_000_000_000),
      period: z.union([z.literal(10), z.literal(60)]),
    }),
  }),
  analytics_engine: z.object({ dataset: oneLine.max(96) }),
  assets: z.object({}),
  // Of a Worker in service-worker format: a part of the upload.
  text_blob: z.object({ part: z.string() }),
  data_blob: z.object({ part: z.string() }),
  wasm_module: z.object({ part: z.string() }),
  durable_object_namespace: z.object({
    class_name: oneLine.max(255),
    script_name: oneLine.optional(),
    // Of the script, as with services.
    environment: z.enum(["production", ""]).optional(),
  }),
  inherit: z.object({
    old_name: z.string().optional(),
    version_id: z.literal("latest").optional(),
  }),
};

type Type = keyof typeof schemas;

/** What is bound here, as the API calls it. */
export const bindingTypes: readonly string[] = Object.keys(schemas);

/** The version that the bindings are for. */
export interface BindingOwner extends ScriptKey {
  readonly versionId: string;
  readonly tag: string;
  /** When the version was made, ISO 8601. */
  readonly timestamp: string;
}

/** The version that bindings are taken over from. */
export interface EarlierVersion {
  readonly id: string;
  readonly bindings: readonly WorkerBinding[];
}

export interface BindingSources {
  readonly keyring: Keyring;
  /** What `inherit` and `keep_bindings` take from. Null: there is no version before. */
  readonly before: EarlierVersion | null;
  readonly keep: readonly string[];
}

/**
 * Turns what a client asks for into what the edge runs: secrets sealed, inherited bindings copied.
 *
 * @throws Failure that names the binding, and its type if that is unknown
 */
export function resolveBindings(
  requested: readonly RequestedBinding[],
  owner: BindingOwner,
  sources: BindingSources,
): WorkerBinding[] {
  const refusals = new Refusals();
  const resolved = resolveOrRefuse(requested, owner, { ...sources, refusals });
  refusals.throw();
  return resolved;
}

/** The same, but what is refused is collected: what is not is returned. */
export function resolveOrRefuse(
  requested: readonly RequestedBinding[],
  owner: BindingOwner,
  { refusals, ...sources }: BindingSources & { readonly refusals: Refusals },
): WorkerBinding[] {
  const names = new Set<string>();
  const { before, keep, keyring } = sources;
  const resolved = requested.flatMap((binding) => {
    const found = refusals.try(() => {
      if (names.has(binding.name)) throw invalid(binding, "appears twice");
      refuseUnknownType(binding);
      return resolve(binding, owner, sources);
    });
    names.add(binding.name);
    return found ?? [];
  });
  const kept = keptOf(before, ({ name, type }) => keep.includes(type) && !names.has(name));
  return [...resolved, ...carryOverAll(keyring, kept, owner)];
}

function keptOf(
  before: EarlierVersion | null,
  which: (binding: WorkerBinding) => boolean,
): EarlierVersion {
  return { id: before?.id ?? "", bindings: before?.bindings.filter(which) ?? [] };
}

/** All that an earlier version has, in this one. */
export function carryOverAll(
  keyring: Keyring,
  { id, bindings }: EarlierVersion,
  owner: BindingOwner,
): WorkerBinding[] {
  return bindings.map((binding) =>
    carryOver(binding, { keyring, from: id, as: binding.name }, owner),
  );
}

interface CarryOver {
  readonly keyring: Keyring;
  /** The id of the version that has it. */
  readonly from: string;
  /** Its name in this version. */
  readonly as: string;
}

/**
 * A binding of an earlier version, in this one. A secret is sealed again: a sealed record opens in the
 * one version and under the one name it was made for.
 * @throws Failure `sealed_record_damaged` if it does not open where it stood
 */
function carryOver(
  binding: WorkerBinding,
  { keyring, from, as: name }: CarryOver,
  owner: BindingOwner,
): WorkerBinding {
  if (binding.type === "version_metadata") return metadataOf(name, owner);
  if (binding.type !== "secret_text") return { ...binding, name };
  const stood = secretPlace({ ...owner, versionId: from, name: binding.name });
  return sealSecret(keyring, owner, name, keyring.unseal(stood, binding.sealed));
}

function metadataOf(name: string, { versionId, tag, timestamp }: BindingOwner): WorkerBinding {
  return { name, type: "version_metadata", id: versionId, tag, timestamp };
}

export function sealSecret(
  keyring: Keyring,
  owner: BindingOwner,
  name: string,
  text: string,
): WorkerBinding {
  const sealed = keyring.seal(secretPlace({ ...owner, name }), text);
  return { name, type: "secret_text", sealed };
}

/** The bindings, their secrets wrapped by the master key of now: it may have changed meanwhile. */
export function freshBindings(
  keyring: Keyring,
  owner: BindingOwner,
  bindings: readonly WorkerBinding[],
): WorkerBinding[] {
  return bindings.map((binding) => {
    if (binding.type !== "secret_text") return binding;
    const place = secretPlace({ ...owner, name: binding.name });
    return { ...binding, sealed: keyring.fresh(place, binding.sealed) };
  });
}

/**
 * What the bindings point to has to be there: asked in the transaction that stores them too.
 *
 * @throws Failure `binding_certificate_unknown`, `binding_certificate_is_authority`,
 * `binding_service_unknown`, `binding_hyperdrive_unknown`, `binding_resource_unknown`, `in_process_key_unsupported`,
 * `in_process_hosts_limited`
 */
export async function assertTargets(
  db: Database,
  key: ScriptKey,
  bindings: readonly WorkerBinding[],
): Promise<void> {
  const refusals = new Refusals();
  await refuseTargets(db, key, { bindings, refusals });
  refusals.throw();
}

/** The same, but what is refused is collected. */
export async function refuseTargets(
  db: Database,
  key: ScriptKey,
  { bindings, refusals }: { bindings: readonly WorkerBinding[]; refusals: Refusals },
): Promise<void> {
  for (const binding of bindings) await refusals.tryLater(() => assertTarget(db, key, binding));
}

async function assertTarget(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  binding: WorkerBinding,
): Promise<void> {
  if (binding.type === "mtls_certificate") {
    await assertCertificate(db, { accountId, scriptName }, binding);
  }
  if (binding.type === "hyperdrive") {
    if (await findHyperdrive(db, accountId, binding.databaseId)) return;
    throw new Failure("binding_hyperdrive_unknown", {
      message: `binding "${binding.name}" names the Hyperdrive configuration "${binding.databaseId.slice(0, 100)}", which was not found`,
      facts: { binding: binding.name, id: binding.databaseId },
    });
  }
  await assertStored(db, accountId, binding);
  if (binding.type === "service" && binding.service !== scriptName) {
    if (await findScript(db, { accountId, scriptName: binding.service })) return;
    throw new Failure("binding_service_unknown", {
      message: `service binding "${binding.name}" names the Worker "${binding.service}", which was not found`,
      facts: { binding: binding.name, service: binding.service },
    });
  }
}

async function assertCertificate(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  { name, certificateId, mode }: WorkerBinding & { type: "mtls_certificate" },
): Promise<void> {
  if (certificateId === IDENTITY) {
    if (mode !== "in-process") return;
    throw new Failure("in_process_key_unsupported", {
      message: `binding "${name}" presents the Worker's identity, whose key stays in the gateway`,
      facts: { binding: name },
    });
  }
  const certificate = await findCertificate(db, accountId, certificateId);
  const facts = { binding: name, certificateId };
  if (!certificate) {
    throw new Failure("binding_certificate_unknown", {
      message: `binding "${name}" names the certificate "${certificateId}", which was not found`,
      facts,
    });
  }
  if (certificate.ca === 1) {
    throw new Failure("binding_certificate_is_authority", {
      message: `binding "${name}" names the CA "${certificateId}", which cannot be presented`,
      facts,
    });
  }
  if (mode === "in-process") {
    assertInProcess(certificate, `binding "${name}" of the Worker "${scriptName}"`);
  }
}

/** As the API lists it: a secret has only its name. */
export function shownBinding(binding: WorkerBinding): object {
  const { name, type } = binding;
  switch (binding.type) {
    case "plain_text":
      return { name, type, text: binding.text };
    case "json":
      return { name, type, json: binding.json };
    case "mtls_certificate":
      return { name, type, certificate_id: binding.certificateId };
    case "hyperdrive":
      return { name, type, id: binding.databaseId };
    case "service":
      return {
        name,
        type,
        service: binding.service,
        environment: "production",
        ...(binding.entrypoint && { entrypoint: binding.entrypoint }),
        ...(binding.props && { props: binding.props }),
      };
    case "kv_namespace":
      return { name, type, namespace_id: binding.namespaceId };
    case "d1":
      return { name, type, id: binding.databaseId, database_id: binding.databaseId };
    case "r2_bucket":
      return { name, type, bucket_name: binding.bucketName };
    case "queue": {
      const { queueName, deliveryDelay: delay } = binding;
      return {
        name,
        type,
        queue_name: queueName,
        ...(delay !== undefined && { delivery_delay: delay }),
      };
    }
    case "ratelimit": {
      const { namespaceId, limit, period } = binding;
      return { name, type, namespace_id: namespaceId, simple: { limit, period } };
    }
    case "analytics_engine":
      return { name, type, dataset: binding.dataset };
    case "durable_object_namespace":
      return { name, type, class_name: binding.className };
    case "text_blob":
    case "data_blob":
    case "wasm_module":
      return { name, type, part: binding.part };
    default:
      return { name, type };
  }
}

function refuseUnknownType({ name, type }: RequestedBinding): void {
  if (Object.hasOwn(schemas, type)) return;
  const fix = INSTEAD[type];
  throw new Failure("binding_unsupported", {
    message: `the binding "${name}" (${type}) cannot be bound here`,
    facts: { bindings: [{ name, type }] },
    ...(fix !== undefined && { fix }),
  });
}

/** What does the same elsewhere, for types that run on Cloudflare's machines alone. */
const INSTEAD: Readonly<Record<string, string>> = {
  ai: "Call a model's own API with `fetch()`, its key as a secret, and remove the binding `ai`.",
  browser:
    "Call a browser service of your own over a certificate or a public address, and remove the binding `browser`.",
  send_email: "Call the API of a mail service with `fetch()`, and remove the binding `send_email`.",
};

function resolve(
  binding: RequestedBinding,
  owner: BindingOwner,
  { keyring, before }: Pick<BindingSources, "keyring" | "before">,
): WorkerBinding {
  const { name } = binding;
  const type = binding.type as Type;
  switch (type) {
    case "plain_text":
      return { name, type: "plain_text", text: fields("plain_text", binding).text };
    case "json":
      return { name, type: "json", json: fields("json", binding).json };
    case "secret_text":
      return sealSecret(keyring, owner, name, fields("secret_text", binding).text);
    case "mtls_certificate": {
      const { certificate_id: certificateId } = fields("mtls_certificate", binding);
      return { name, type: "mtls_certificate", certificateId };
    }
    case "hyperdrive":
      return { name, type: "hyperdrive", databaseId: fields("hyperdrive", binding).id };
    case "service": {
      const { service, entrypoint, props: given } = fields("service", binding);
      return {
        name,
        type: "service",
        service,
        ...(entrypoint && { entrypoint }),
        ...(given && { props: given }),
      };
    }
    case "version_metadata":
      fields("version_metadata", binding);
      return metadataOf(name, owner);
    case "kv_namespace":
      return { name, type, namespaceId: fields(type, binding).namespace_id };
    case "d1": {
      const { id, database_id: databaseId } = fields(type, binding);
      return { name, type, databaseId: id ?? databaseId ?? "" };
    }
    case "r2_bucket":
      return { name, type, bucketName: fields(type, binding).bucket_name };
    case "queue": {
      const { queue_name: queueName, delivery_delay: delay } = fields(type, binding);
      return { name, type, queueName, ...(delay !== undefined && { deliveryDelay: delay }) };
    }
    case "ratelimit": {
      const { namespace_id: namespaceId, simple } = fields(type, binding);
      return { name, type, namespaceId, ...simple };
    }
    case "analytics_engine":
      return { name, type, dataset: fields(type, binding).dataset };
    case "assets":
      fields(type, binding);
      return { name, type };
    case "text_blob":
    case "data_blob":
    case "wasm_module":
      return { name, type, part: fields(type, binding).part };
    case "durable_object_namespace": {
      const { class_name: className, script_name: script } = fields(type, binding);
      if (!script || script === owner.scriptName) return { name, type, className };
      throw new Failure("binding_unsupported", {
        message: `the binding "${name}" (${type}) names a class of the Worker "${script}": only a Worker's own classes can be bound`,
        facts: { bindings: [{ name, type, script }] },
        fix: `Bind the Worker "${script}" as a service, and have an entrypoint of it call its objects.`,
      });
    }
    default:
      return inherited(binding, owner, { keyring, before });
  }
}

function inherited(
  binding: RequestedBinding,
  owner: BindingOwner,
  { keyring, before }: Pick<BindingSources, "keyring" | "before">,
): WorkerBinding {
  const from = fields("inherit", binding).old_name ?? binding.name;
  const earlier = before?.bindings.find(({ name }) => name === from);
  if (before && earlier) {
    return carryOver(earlier, { keyring, from: before.id, as: binding.name }, owner);
  }
  throw new Failure("binding_nothing_to_inherit", {
    message: `binding "${binding.name}" cannot be inherited: the newest version has no binding "${from}"`,
    facts: { binding: binding.name },
  });
}

function fields<T extends Type>(type: T, binding: RequestedBinding): z.output<(typeof schemas)[T]> {
  const known = new Set(["name", "type", ...Object.keys(schemas[type].shape)]);
  const unknown = Object.entries(binding).flatMap(([field, value]) =>
    known.has(field) || value === null ? [] : [field.slice(0, 100)],
  );
  if (unknown.length > 0) {
    const named = unknown.map((field) => `"${field}"`).join(", ");
    throw new Failure("binding_field_unsupported", {
      message: `the binding "${binding.name}" (${type}) has ${named}, which Countersign does not do`,
      facts: { binding: binding.name, fields: unknown },
    });
  }
  const parsed = schemas[type].safeParse(binding);
  if (parsed.success) return parsed.data as z.output<(typeof schemas)[T]>;
  throw invalid(binding, `is not as ${type} needs it: ${firstIssue(parsed.error)}`);
}

function invalid({ name }: RequestedBinding, why: string): Failure {
  return new Failure("binding_invalid", {
    message: `the binding "${name}" ${why}`,
    facts: { binding: name },
  });
}
