import { CF_HEADER, RPC_HOST } from "../../ingress/protocol.ts";
import { originSocket, OUTBOUND, outboundConfig } from "./outbound-config.ts";
import { CACHE, cacheWorker } from "./cache-config.ts";
import { V8_FLAGS } from "./v8-flags.ts";
import { capnpText, type CapnpValue } from "./capnp.ts";
import type { WorkerdNetwork } from "../../network/workerd-network.ts";
import type { OwnPresentation, RunnableVersion } from "../in-process.ts";
import type { AssetsConfig } from "../../contract/assets.ts";
import type {
  EmbeddedType,
  ModuleType,
  WorkerBinding,
  WorkerModule,
} from "../../contract/change-feed.ts";
import { EVENTS, eventsWorker } from "./events-config.ts";
import { readDoor } from "./service-links.ts";
import { assetServices, FILES_ALONE, front, hasCode } from "./assets-config.ts";
import { extensionsOf, storageServices, storedBinding } from "../storage/bindings-config.ts";
import { isBindable, objectsConfig, type ObjectsConfig } from "../storage/objects.ts";
import {
  classBehind,
  doorService,
  isRemote,
  objectsDoor,
  remoteService,
} from "../storage/remote-objects.ts";
import type { Resource } from "../storage/resources.ts";
import { hasWorkflows, workflowBinding, workflowsConfig } from "../storage/workflows.ts";
import { CALLS, callsWorker } from "../storage/workflow-door.ts";

/** A version as it stands on disk: its modules are files, its content is no longer in memory. */
export type LaidOutVersion = Omit<
  RunnableVersion,
  "modules" | "changesAt" | "traced" | "assets"
> & {
  /** As of `RunnableVersion`. */
  readonly traced?: number | null;
  readonly modules: readonly StoredModule[];
  /** How the files in its folder are served. Null, the default: it has none. */
  readonly assets?: AssetsConfig | null;
  /** It fetches the keys of Access. */
  readonly asksForKeys: boolean;
  /** Its code names `caches`. */
  readonly asksCache: boolean;
  /** By the name of the module they belong to: files in the generation's folder. */
  readonly sourceMaps: ReadonlyMap<string, string>;
};

export interface StoredModule {
  readonly name: string;
  readonly type: Exclude<ModuleType, "sourcemap">;
  /** In the generation's folder. */
  readonly file: string;
}

/** Where a generation meets the others. Paths are relative to its folder. */
export interface Wiring {
  readonly socket: string;
  /** It also answers at a listening socket that it is given: see `OWN_PORT`. */
  readonly hasOwnPort: boolean;
  /** Answers without running the Worker's code: says that the process serves. */
  readonly probeSocket: string;
  /** The doors that other Workers bind (`doorOf`), and their sockets. */
  readonly entrypoints: ReadonlyMap<string, string>;
  /** Where the files are that the version serves. */
  readonly assetsFolder: string;
  /** Where the platform calls the Worker by itself. Null: it does not. */
  readonly eventsSocket: string | null;
  /** Where the platform reaches its Workflows, and where it writes those that are not kept. */
  readonly workflows?: { readonly socket: string; readonly scratch: string };
  /** An empty folder. */
  readonly emptyFolder: string;
  /** The gateway's socket for an `mtls_certificate` or `hyperdrive` binding. */
  bindingSocket(bindingName: string): string;
  /** The socket at which a binding finds another Worker's current generation, or storage. */
  linkedSocket(bindingName: string): string;
  /** The capability that opens a resource to this Worker. */
  capability(resource: Resource): string;
  /** Addresses that `fetch()` and `connect()` without a binding may reach. */
  readonly fetch: WorkerdNetwork;
  /** Addresses that bindings in this process may reach. */
  readonly inProcess: WorkerdNetwork;
  /** Where the ingress answers with the keys of Access: `127.0.0.1:8080`. */
  readonly accessKeys: string;
  /** Whether Durable Objects are kept. Default: they are gone with the process. */
  readonly keepsObjects?: boolean;
  /** MiB of JavaScript's heap. 0: no limit. */
  readonly heap: number;
  /** The module of the Worker that is told of each call. Null: none is. */
  readonly tail: string | null;
  /** What stands for the private key of such a binding. */
  privateKey(bindingName: string): string;
}

/** The Cap'n Proto configuration of one Worker's process. It holds no secret: see `environment`. */
export function workerdConfig(version: LaidOutVersion, wiring: Wiring): string {
  const isKept = wiring.keepsObjects === true;
  const objects = objectsConfig(version, isKept);
  const workflows = workflowsConfig(version, isKept ? null : (wiring.workflows?.scratch ?? ""));
  const fields = { ...objects.fields, ...workflows.fields };
  const services: CapnpValue[] = [
    ...(hasCode(version)
      ? [{ name: "main", worker: worker(version, wiring.tail !== null, fields) }]
      : []),
    ...assetServices(version, wiring.assetsFolder),
    {
      name: "internet",
      network: { ...wiring.fetch, tlsOptions: { trustBrowserCas: true } },
    },
    { name: "probe", disk: { path: wiring.emptyFolder } },
    ...objects.services,
    ...workflows.services,
  ];
  if (wiring.eventsSocket !== null)
    services.push(eventsWorker(hasCode(version) ? "main" : front(version)));
  if (wiring.workflows) services.push(callsWorker(version));
  if (wiring.tail !== null) services.push(tailWorker(wiring.tail));
  if (version.asksCache) services.push(cacheWorker("probe"));
  const before = outboundConfig({
    accessKeys: version.asksForKeys ? wiring.accessKeys : null,
    origins: version.origins.map(({ host }, index) => ({ host, socket: originSocket(index) })),
  });
  services.push(...before);
  for (const binding of version.bindings) {
    services.push(...storageServices(binding, serviceName(binding), wiring));
    const presented = version.presented.get(binding.name);
    const to = presented ? network(presented, binding, wiring) : outbound(binding, wiring);
    if (to !== null) services.push({ name: serviceName(binding), ...to });
    if (isRemote(binding)) services.push(remoteService(binding, serviceName(binding)));
  }
  const sockets: CapnpValue[] = [
    listen("main", wiring.socket, front(version), {
      ...INBOUND,
      forwardedProtoHeader: "X-Forwarded-Proto",
    }),
    listen("probe", wiring.probeSocket, "probe", {}),
    // Strangers connect there: no header tells the Worker of them, and none opens RPC.
    ...(wiring.hasOwnPort ? [{ name: OWN_PORT, http: {}, service: front(version) }] : []),
  ];
  if (wiring.eventsSocket !== null)
    sockets.push(listen(EVENTS, wiring.eventsSocket, EVENTS, INBOUND));
  if (wiring.workflows) sockets.push(listen(CALLS, wiring.workflows.socket, CALLS, {}));
  for (const [door, socket] of wiring.entrypoints) {
    const behind = classBehind(door, version);
    if (behind !== null) {
      services.push(doorService(behind));
      sockets.push(
        listen(entrypointSocket(socket), socket, objectsDoor(behind.namespaceId), INBOUND),
      );
      continue;
    }
    const { entrypoint, props } = readDoor(door);
    // Files come first for callers of the Worker itself, as they do for visitors.
    const isDefault = entrypoint === undefined && props === undefined;
    const service: CapnpValue = {
      name: isDefault || !hasCode(version) ? front(version) : "main",
      ...(entrypoint !== undefined && { entrypoint }),
      ...(props !== undefined && { props: { json: JSON.stringify(props) } }),
    };
    sockets.push(listen(entrypointSocket(socket), socket, service, INBOUND));
  }
  const heap = wiring.heap === 0 ? [] : [`--max-old-space-size=${wiring.heap}`];
  const v8Flags = [...V8_FLAGS, ...heap];
  const extensions = extensionsOf(version);
  const config = { services, sockets, extensions, v8Flags, logging: { structuredLogging: true } };
  return `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${capnpText(config)};\n`;
}

/** Does it use what workerd runs only when it is told that it may be experimental? */
export function needsExperimental(version: LaidOutVersion): boolean {
  const { bindings, assets, takesEvents } = version;
  if (assets != null || takesEvents === true || hasWorkflows(version)) return true;
  return bindings.some(({ type }) => type === "analytics_engine");
}

/** The name of the socket at which clients reach the Worker without the ingress. */
export const OWN_PORT = "own-port";

/** What workerd calls such a socket in its messages. */
export function entrypointSocket(socket: string): string {
  return `entrypoint ${socket}`;
}

/** The variable in which the process finds the secret of a binding. */
export function secretVariable(version: LaidOutVersion, bindingName: string): string {
  return `SECRET_${version.bindings.findIndex(({ name }) => name === bindingName)}`;
}

const INBOUND = { cfBlobHeader: CF_HEADER, capnpConnectHost: RPC_HOST };

function worker(
  version: LaidOutVersion,
  isTraced: boolean,
  objects: ObjectsConfig["fields"],
): CapnpValue {
  return {
    ...objects,
    ...(isTraced && { tails: [TAIL] }),
    ...(version.asksCache && { cacheApiOutbound: CACHE }),
    ...code(version),
    compatibilityDate: version.compatibilityDate,
    compatibilityFlags: version.compatibilityFlags,
    bindings: version.bindings
      .filter((binding) => isBindable(binding, version))
      .map((binding) => ({ name: binding.name, ...bindingValue(binding, version) })),
    globalOutbound: version.asksForKeys || version.origins.length > 0 ? OUTBOUND : "internet",
  };
}

/** The first module is the main one. */
function code({ modules }: LaidOutVersion): Readonly<Record<string, CapnpValue>> {
  const [main] = modules;
  if (main?.type === "script") return { serviceWorkerScript: { embed: main.file } };
  return {
    modules: modules.map(({ name, type, file }) => ({
      name,
      [MODULE_FIELDS[type as Exclude<typeof type, "script">]]: { embed: file },
    })),
  };
}

/** Reaches nothing: it writes down what it is told. */
function tailWorker(module: string): CapnpValue {
  return {
    name: TAIL,
    worker: {
      modules: [{ name: "tail", esModule: module }],
      compatibilityDate: "2026-11-01",
      globalOutbound: "probe",
    },
  };
}

const TAIL = "tail";

const MODULE_FIELDS = {
  esm: "esModule",
  commonjs: "commonJsModule",
  text: "text",
  data: "data",
  json: "json",
  wasm: "wasm",
} satisfies Record<Exclude<WorkerModule["type"], "sourcemap" | "script">, string>;

function bindingValue(
  binding: WorkerBinding,
  version: LaidOutVersion,
): Readonly<Record<string, CapnpValue>> {
  switch (binding.type) {
    case "plain_text":
      return { text: binding.text };
    case "json":
      return { json: JSON.stringify(binding.json) };
    case "secret_text":
      return { fromEnvironment: secretVariable(version, binding.name) };
    case "assets":
      return { service: FILES_ALONE };
    case "text_blob":
    case "data_blob":
    case "wasm_module": {
      const embed = version.modules.find(({ name }) => name === binding.part)?.file ?? "";
      return { [EMBEDDED_FIELDS[binding.type]]: { embed } };
    }
    case "version_metadata": {
      const { id, tag, timestamp } = binding;
      return { json: JSON.stringify({ id, tag, timestamp }) };
    }
    case "hyperdrive": {
      // One whose configuration is gone leads to the gateway's socket all the same, where nobody listens.
      const told = version.databases.get(binding.name);
      return {
        hyperdrive: {
          designator: serviceName(binding),
          database: told?.database ?? "",
          user: told?.user ?? "",
          // The gateway signs in: no password leaves it.
          password: NO_PASSWORD,
          scheme: told?.protocol === "mysql" ? "mysql" : "postgresql",
        },
      };
    }
    default:
      return (
        workflowBinding(binding, version) ??
        storedBinding(binding, serviceName(binding)) ?? { service: serviceName(binding) }
      );
  }
}

const EMBEDDED_FIELDS = {
  text_blob: "text",
  data_blob: "data",
  wasm_module: "wasmModule",
} satisfies Record<EmbeddedType, string>;

/** A placeholder, because drivers need a password in the connection string. */
const NO_PASSWORD = "kept-by-the-gateway";

/** workerd's own TLS with the certificate. */
function network(
  { credential, publicRoots, authorities }: OwnPresentation,
  { name }: WorkerBinding,
  wiring: Wiring,
): Struct {
  const keypair = { privateKey: wiring.privateKey(name), certificateChain: credential.chain };
  return {
    network: {
      ...wiring.inProcess,
      tlsOptions: { keypair, trustBrowserCas: publicRoots, trustedCertificates: authorities },
    },
  };
}

type Struct = { readonly [field: string]: CapnpValue };

function outbound(binding: WorkerBinding, wiring: Wiring): Struct | null {
  switch (binding.type) {
    case "mtls_certificate":
    case "hyperdrive":
      return {
        external: {
          address: `unix:${wiring.bindingSocket(binding.name)}`,
          http: { style: { enumerant: "proxy" } },
        },
      };
    case "service":
      return linked(binding, wiring);
    default:
      return isRemote(binding) ? linked(binding, wiring) : null;
  }
}

function linked({ name }: WorkerBinding, wiring: Wiring): Struct {
  return { external: { address: `unix:${wiring.linkedSocket(name)}`, http: INBOUND } };
}

function serviceName(binding: WorkerBinding): string {
  return `binding ${binding.name}`;
}

function listen(name: string, socket: string, service: CapnpValue, http: CapnpValue): CapnpValue {
  return { name, address: `unix:${socket}`, http, service };
}
