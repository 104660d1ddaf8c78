import { z } from "@hono/zod-openapi";
import type { WorkerBinding } from "../../contract/change-feed.ts";
import { CLASS_NAME } from "../../contract/class-names.ts";
import { Failure } from "../../failures/failures.ts";
import { noLonger } from "../api/bounds.ts";
import { firstIssue } from "../api/endpoint.ts";
import { oneLine } from "../api/text.ts";
import {
  type BindingOwner,
  type EarlierVersion,
  carryOver,
  metadataOf,
  sealSecret,
} from "./carried-bindings.ts";
import type { Keyring } from "../../keys/seal.ts";
import { LONGEST_TEXT, MOST_TEXTS, type SecretTexts } from "../../keys/secret-texts.ts";

/** A binding as a client sends it. Other fields depend on its type. */
export interface RequestedBinding {
  readonly name: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Bindings of one version: far above what people have, and checked before any work. */
export const mostBindings: number = MOST_TEXTS;

const bindingName = oneLine.min(1).max(255);

export const requestedBinding: z.ZodType<RequestedBinding> = z
  .object({ name: bindingName, type: oneLine.max(255) })
  .loose();

export const bindingText: z.ZodString = z.string().max(LONGEST_TEXT);

/** Characters; props become part of the bound Worker's configuration. */
const LONGEST_PROPS = 65_536;

const props = z
  .record(z.string(), z.json())
  .refine(noLonger(LONGEST_PROPS), "is longer than 64 KiB");

const exported = z
  .string()
  .max(255)
  .refine((name) => name === "" || CLASS_NAME.test(name), "is not the name of a class");

/** The name becomes part of folders' names. */
export const workflowName: z.ZodString = z
  .string()
  .regex(/^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}$/, "is no name of a Workflow");

const schemas = {
  plain_text: z.object({ text: bindingText }),
  json: z.object({ json: z.json().refine(noLonger(LONGEST_TEXT), "is longer than 125 KiB") }),
  secret_text: z.object({ text: bindingText }),
  mtls_certificate: z.object({ certificate_id: oneLine }),
  hyperdrive: z.object({ id: oneLine }),
  service: z.object({
    service: oneLine,
    entrypoint: exported.optional(),
    // Services have no environments here, and no longer at Cloudflare.
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
  // Of a Worker in service-worker format: refers to a part of the upload.
  text_blob: z.object({ part: z.string().max(1024) }),
  data_blob: z.object({ part: z.string().max(1024) }),
  wasm_module: z.object({ part: z.string().max(1024) }),
  durable_object_namespace: z.object({
    class_name: oneLine.max(255),
    script_name: oneLine.optional(),
    // The environment of a script, as with services.
    environment: z.enum(["production", ""]).optional(),
  }),
  workflow: z.object({
    workflow_name: workflowName,
    class_name: oneLine.max(255),
    script_name: oneLine.optional(),
  }),
  inherit: z.object({
    old_name: oneLine.optional(),
    version_id: z.literal("latest").optional(),
  }),
};

export const bindingFields: Readonly<Record<string, z.ZodType>> = schemas;

type Type = keyof typeof schemas;

/** The supported types, by the API's names. */
export const bindingTypes: readonly string[] = Object.keys(schemas);

/** @throws Failure `binding_unsupported` */
export function refuseUnknownType({ name, type }: RequestedBinding): void {
  if (Object.hasOwn(schemas, type)) return;
  const fix = INSTEAD[type];
  throw new Failure("binding_unsupported", {
    message: `the binding "${name}" (${type}) cannot be bound here`,
    facts: { bindings: [{ name, type }] },
    ...(fix !== undefined && { fix }),
  });
}

/** Alternatives to types that exist only at Cloudflare. */
const INSTEAD: Readonly<Record<string, string>> = {
  ai: "Call a model's own API with `fetch()`, its key as a secret, and remove the binding `ai`.",
  browser:
    "Call a browser service of your own over a certificate or a public address, and remove the binding `browser`.",
  send_email: "Call the API of a mail service with `fetch()`, and remove the binding `send_email`.",
};

export interface BindingSources {
  readonly keyring: Keyring;
  readonly texts: SecretTexts;
  /** The version from which `inherit` and `keep_bindings` take bindings. Null: there is none. */
  readonly before: EarlierVersion | null;
  readonly keep: readonly string[];
}

/**
 * One binding in the form that the edge runs.
 * @throws Failure that names the binding
 */
export function resolveBinding(
  binding: RequestedBinding,
  owner: BindingOwner,
  { keyring, texts, before }: Pick<BindingSources, "keyring" | "texts" | "before">,
): WorkerBinding {
  const { name } = binding;
  const type = binding.type as Type;
  switch (type) {
    case "plain_text":
      return { name, type: "plain_text", text: fields("plain_text", binding).text };
    case "json":
      return { name, type: "json", json: fields("json", binding).json };
    case "secret_text":
      return sealSecret({ keyring, texts }, owner, name, fields("secret_text", binding).text);
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
      return { name, type, className, remote: { scriptName: script, namespaceId: UNPLACED } };
    }
    case "workflow": {
      const { workflow_name, class_name, script_name: script } = fields(type, binding);
      if (script && script !== owner.scriptName) throw ofAnother(name, script);
      return { name, type, workflowName: workflow_name, className: class_name };
    }
    default:
      return inherited(binding, owner, { keyring, before });
  }
}

function ofAnother(name: string, script: string): Failure {
  return new Failure("workflow_remote", {
    message: `the binding "${name}" names a Workflow of the Worker "${script.slice(0, 255)}"`,
    facts: { binding: name, script },
  });
}

/** A placeholder: the store says which namespace a class of another Worker has. */
export const UNPLACED = "";

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

export function invalid({ name }: RequestedBinding, why: string): Failure {
  return new Failure("binding_invalid", {
    message: `the binding "${name}" ${why}`,
    facts: { binding: name },
  });
}
