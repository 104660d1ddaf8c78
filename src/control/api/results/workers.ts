import { z } from "@hono/zod-openapi";
import { count, crud, flag, type Results, text, texts, time } from "./common.ts";

const annotations = z.record(text, text);

/** Other fields depend on the type; a secret shows only its name. */
const binding = z
  .object({
    name: text,
    type: text,
    text: text.optional(),
    json: z.unknown().optional(),
    certificate_id: text.optional(),
    service: text.optional(),
    environment: text.optional(),
    entrypoint: text.optional(),
    props: z.record(text, z.unknown()).optional(),
  })
  .loose()
  .openapi("Binding");

const placement = z.record(text, z.unknown());

const scriptSettings = z
  .object({
    tags: texts,
    logpush: flag,
    tail_consumers: z.array(z.unknown()),
    observability: z.record(text, z.unknown()).optional(),
  })
  .openapi("ScriptSettings");

const script = scriptSettings
  .extend({
    id: text,
    tag: text,
    created_on: time,
    modified_on: time,
    usage_model: text,
    has_modules: flag,
    has_assets: flag,
    handlers: texts,
    named_handlers: z.array(z.unknown()),
    placement: placement.optional(),
    etag: text.optional(),
    compatibility_date: text.optional(),
    compatibility_flags: texts.optional(),
    last_deployed_from: text.optional(),
    migration_tag: text.optional(),
  })
  .openapi("Script");

const objectNamespace = z
  .object({ id: text, name: text, script: text, class: text, use_sqlite: flag })
  .openapi("DurableObjectNamespace");

const uploaded = script
  .extend({ entry_point: text, deployment_id: text, startup_time_ms: count })
  .openapi("UploadedScript");

const assetsUploaded = z.object({ jwt: text }).openapi("AssetsUploaded");

const settings = scriptSettings
  .extend({
    bindings: z.array(binding),
    compatibility_date: text,
    compatibility_flags: texts,
    usage_model: text,
    placement,
    annotations,
    limits: z.object({ cpu_ms: z.number().optional() }).optional(),
  })
  .openapi("ScriptAndVersionSettings");

const version = z
  .object({
    id: text,
    number: count,
    metadata: z.object({
      created_on: time,
      modified_on: time,
      source: text,
      author_email: text,
      has_preview: flag,
    }),
    annotations,
    resources: z.object({
      bindings: z.array(binding),
      script: z.object({ etag: text, last_deployed_from: text }),
      script_runtime: z.object({
        compatibility_date: text,
        compatibility_flags: texts,
        usage_model: text,
      }),
    }),
    startup_time_ms: count,
  })
  .openapi("ScriptVersion");

const deployment = z
  .object({
    id: text,
    source: text,
    strategy: z.literal("percentage"),
    author_email: text,
    created_on: time,
    annotations,
    versions: z.array(z.object({ version_id: text, percentage: z.number() })),
  })
  .openapi("Deployment");

const secret = z.object({ name: text, type: text }).openapi("Secret");

const subdomain = z.object({ enabled: flag, previews_enabled: flag }).openapi("ScriptSubdomain");

const worker = z
  .object({
    id: text,
    name: text,
    tags: texts,
    logpush: flag,
    tail_consumers: z.array(z.unknown()),
    observability: z.record(text, z.unknown()),
    created_on: time,
    updated_on: time,
    deployed_on: time.nullable(),
    subdomain: z.object({
      enabled: flag,
      previews_enabled: flag,
      preview_url_suffix: text.optional(),
    }),
    references: z.object({
      dispatch_namespace_outbounds: z.array(z.unknown()),
      domains: z.array(
        z.object({
          id: text,
          hostname: text,
          certificate_id: text,
          zone_id: text,
          zone_name: text,
        }),
      ),
      durable_objects: z.array(z.unknown()),
      queues: z.array(z.object({ queue_consumer_id: text, queue_id: text, queue_name: text })),
      workers: z.array(z.object({ id: text, name: text }).loose()),
    }),
  })
  .openapi("Worker");

const workerVersion = z
  .object({
    id: text,
    number: count,
    created_on: time,
    source: text,
    author_email: text,
    annotations,
    bindings: z.array(binding).optional(),
    compatibility_date: text,
    compatibility_flags: texts,
    main_module: text,
    startup_time_ms: count,
    usage_model: text,
    urls: texts,
    limits: z.object({ cpu_ms: z.number().optional() }).optional(),
    placement: placement.optional(),
  })
  .openapi("WorkerVersion");

const environment = z.object({
  environment: text,
  created_on: time,
  modified_on: time,
  script,
});

const certificateBinding = z
  .object({ name: text, certificate_id: text, mode: z.enum(["gateway", "in-process"]) })
  .openapi("CertificateBinding");

const tail = z.object({ id: text, expires_at: time }).openapi("Tail");

const check = z
  .object({
    deployable: flag,
    refusals: z.array(z.object({ code: text, number: count, message: text, fix: text }).loose()),
  })
  .openapi("DeployCheck");

const all = "/accounts/{account_id}/workers";
const one = `${all}/scripts/{script_name}`;
const nothing = z.null();
const schedules = z
  .object({ schedules: z.array(z.object({ cron: text, created_on: time, modified_on: time })) })
  .openapi("Schedules");

/** Scripts, their versions, deployments, secrets and bindings. */
export const workerResults: Results = {
  [`GET ${all}/scripts`]: z.array(script),
  [`PUT ${one}`]: uploaded,
  [`DELETE ${one}`]: nothing,
  [`GET ${one}/settings`]: settings,
  [`PATCH ${one}/settings`]: settings,
  [`GET ${one}/script-settings`]: scriptSettings,
  [`PATCH ${one}/script-settings`]: scriptSettings,
  [`PUT ${one}/content`]: script,
  [`GET ${one}/references`]: z
    .object({
      services: z.object({
        incoming: z.array(z.object({ service: text, environment: text })),
        outgoing: z.array(z.unknown()),
      }),
      durable_objects: z.array(
        z.object({
          service: text,
          environment: text,
          durable_object_namespace_id: text,
          durable_object_namespace_name: text,
        }),
      ),
    })
    .openapi("ScriptReferences"),
  [`GET ${all}/durable_objects/namespaces`]: z.array(objectNamespace),
  [`GET ${one}/versions`]: z.object({ items: z.array(version) }),
  [`POST ${one}/versions`]: version,
  [`GET ${one}/versions/{version_id}`]: version,
  [`GET ${one}/deployments`]: z.object({ deployments: z.array(deployment) }),
  [`POST ${one}/deployments`]: deployment,
  [`GET ${one}/deployments/{deployment_id}`]: deployment,
  [`DELETE ${one}/deployments/{deployment_id}`]: nothing,
  [`GET ${one}/secrets`]: z.array(secret),
  [`PUT ${one}/secrets`]: secret,
  [`GET ${one}/secrets/{secret_name}`]: secret,
  [`DELETE ${one}/secrets/{secret_name}`]: nothing,
  [`POST ${one}/tails`]: tail.extend({ url: text }),
  [`GET ${one}/tails`]: z.array(tail),
  [`DELETE ${one}/tails/{tail_id}`]: nothing,
  "POST /accounts/{account_id}/countersign/scripts/{script_name}/check": check,
  [`PATCH ${one}/secrets-bulk`]: z.record(text, secret),
  [`GET ${one}/subdomain`]: subdomain,
  [`POST ${one}/subdomain`]: subdomain,
  [`DELETE ${one}/subdomain`]: subdomain,
  [`POST ${one}/assets-upload-session`]: z.object({ jwt: text, buckets: z.array(texts) }),
  [`POST ${all}/assets/upload`]: assetsUploaded,
  [`POST ${all}/assets/upload/{asset_hash}`]: assetsUploaded,
  [`GET ${one}/schedules`]: schedules,
  [`PUT ${one}/schedules`]: schedules,
  "POST /accounts/{account_id}/countersign/scripts/{script_name}/cron": z
    .object({ cron: text, scheduled_time: time, outcome: text })
    .openapi("ScheduledRun"),
  [`GET ${all}/subdomain`]: z.object({ subdomain: text }),
  [`PUT ${all}/subdomain`]: z.object({ subdomain: text }),
  ...crud(`${all}/workers`, worker, "GET* POST* GET PUT PATCH", "script_name"),
  [`DELETE ${all}/workers/{script_name}`]: nothing,
  [`GET ${all}/tails/by-consumer/{script_name}`]: z.array(z.unknown()),
  ...crud(`${all}/workers/{script_name}/versions`, workerVersion, "GET* POST* GET", "version_id"),
  [`PATCH ${all}/workers/{script_name}/versions/latest`]: version,
  [`DELETE ${all}/workers/{script_name}/versions/{version_id}`]: nothing,
  [`GET ${all}/services/{script_name}`]: z
    .object({
      id: text,
      created_on: time,
      modified_on: time,
      default_environment: environment,
      environments: z.array(environment),
    })
    .openapi("Service"),
  [`DELETE ${all}/services/{script_name}`]: nothing,
  ...crud(
    "/accounts/{account_id}/countersign/scripts/{script_name}/bindings",
    certificateBinding,
    "GET* GET PUT",
    "binding",
  ),
};
