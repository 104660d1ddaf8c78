import type { CapnpValue } from "../config/capnp.ts";
import { bundled, module } from "./modules.ts";

/**
 * The process that keeps an account's KV namespaces, D1 databases, R2 buckets and rate limits.
 *
 * Names of folders and `uniqueKey`s are the data's address. Changing one would start with empty data.
 */
export const dataProcess = {
  folders: ["kv", "kv-blobs", "d1", "r2", "rate-limits", "analytics"],
  files: [
    "routers/capability.js",
    "routers/kv.js",
    "routers/d1.js",
    "routers/statements.js",
    "routers/objects.js",
    "routers/r2-objects.js",
    "routers/analytics.js",
    "r2.js",
    "rate-limit-object.js",
  ],
  sockets: ["kv", "d1", "r2", "rate-limit", "analytics"],
  services: (): readonly CapnpValue[] => [
    ...dataProcess.folders.map(disk),
    routed("kv", [bundled("kv.js")], {
      className: "KVNamespace",
      binding: "SHARD",
      disk: "kv",
      more: [{ name: "BLOBS", service: "disk kv-blobs" }],
    }),
    routed(
      "d1",
      [bundled("d1.js"), module("routers/statements.js")],
      { className: "D1Database", binding: "DATABASE", disk: "d1" },
      // Runs the statements of a file, one after the other.
      ["experimental"],
    ),
    routed("analytics", [], { className: "Dataset", binding: "DATASET", disk: "analytics" }),
    ...objects("r2", ["routers/r2-objects.js", "r2.js"], {
      className: "R2BucketObject",
      folder: "r2",
      enableSql: false,
    }),
    ...objects("rate-limit", ["rate-limit-object.js"], {
      className: "RateLimiterObject",
      folder: "rate-limits",
      enableSql: true,
    }),
  ],
} as const;

interface Routed {
  readonly className: string;
  /** The name under which the module finds its class. */
  readonly binding: string;
  readonly disk: string;
  readonly more?: readonly CapnpValue[];
}

export const DATE = "2026-11-01";
const KEY: CapnpValue = { name: "CAPABILITY_KEY", fromEnvironment: "CAPABILITY_KEY" };

export function disk(folder: string): CapnpValue {
  return { name: `disk ${folder}`, disk: { path: `d/${folder}`, writable: true } };
}

/** One Worker with a module of ours in front of a class. */
export function routed(
  kind: string,
  modules: readonly CapnpValue[],
  { className, binding, disk: folder, more = [] }: Routed,
  flags: readonly string[] = [],
): CapnpValue {
  return {
    name: kind,
    worker: {
      modules: [module(`routers/${kind}.js`), module("routers/capability.js"), ...modules],
      compatibilityDate: DATE,
      compatibilityFlags: flags,
      durableObjectNamespaces: [{ className, uniqueKey: kind, enableSql: true }],
      durableObjectStorage: { localDisk: `disk ${folder}` },
      bindings: [KEY, { name: binding, durableObjectNamespace: { className } }, ...more],
    },
  };
}

interface ObjectKind {
  readonly className: string;
  readonly folder: string;
  readonly enableSql: boolean;
}

/**
 * A class of Miniflare's, with our module in front of it.
 * @param files the first one exports the class
 */
function objects(
  kind: string,
  files: readonly string[],
  { className, folder, enableSql }: ObjectKind,
): readonly CapnpValue[] {
  return [
    {
      name: `${kind} objects`,
      worker: {
        modules: files.map((file) => module(file)),
        compatibilityDate: "2023-07-24",
        compatibilityFlags: ["nodejs_compat", "experimental"],
        durableObjectNamespaces: [{ className, uniqueKey: kind, enableSql }],
        durableObjectStorage: { localDisk: `disk ${folder}` },
        bindings: [
          { name: "MINIFLARE_BLOBS", service: `disk ${folder}` },
          { name: "MINIFLARE_OBJECT", durableObjectNamespace: { className } },
        ],
      },
    },
    {
      name: kind,
      worker: {
        modules: [module("routers/objects.js"), module("routers/capability.js")],
        compatibilityDate: DATE,
        bindings: [
          KEY,
          { name: "KIND", text: kind },
          { name: "BLOBS", service: `disk ${folder}` },
          {
            name: "OBJECT",
            durableObjectNamespace: { className, serviceName: `${kind} objects` },
          },
        ],
      },
    },
  ];
}
