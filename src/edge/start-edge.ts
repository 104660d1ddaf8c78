import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Logger } from "pino";
import { Keyring } from "../keys/seal.ts";
import { startGateway } from "../gateway/start.ts";
import type { StartGatewayOptions } from "../gateway/start-options.ts";
import { IngressHandle } from "../ingress/handle.ts";
import { ABSENT_SOCKET, type HttpsAddress, type WorkerShares } from "../ingress/protocol.ts";
import type { ServedCertificate } from "../contract/hosts.ts";
import type { Edge } from "../contract/edge.ts";
import { defaultOptions, type GatewayOptions } from "../contract/gateway-options.ts";
import type { IdentityIssuer } from "../contract/identity.ts";
import { Feed } from "./feed.ts";
import { Identities } from "./identities.ts";
import { listeningAt } from "../network/own.ts";
import { bindingNetwork, fetchNetwork } from "../network/workerd-network.ts";
import type { GenerationContext } from "./launcher.ts";
import { IdleWorkers } from "./idle.ts";
import { generationsOf, mainGeneration } from "./live.ts";
import { IngressHosts } from "./ingress-hosts.ts";
import { LocalBindings } from "./config/local-bindings.ts";
import { Origins } from "./origins.ts";
import { AssetStore } from "./assets.ts";
import { Reconciler } from "./reconciler.ts";
import { Traffic } from "./traffic.ts";
import { RunDirectory } from "../process/run-directory.ts";
import type { SandboxMode } from "../process/sandbox-kinds.ts";
import { Storage } from "./storage/storage.ts";
import { ServiceLinks } from "./config/service-links.ts";
import { WorkerEvents } from "./logs/worker-events.ts";
import { SharedSlots } from "./shared-slots.ts";
import type { Source } from "../contract/change-feed.ts";
import { noProxies, type ProxyOptions } from "../network/trusted-proxies.ts";
import { defaultLimits, type ProcessLimits } from "./worker-limits.ts";
import type { WorkerEvent } from "../contract/worker-log.ts";
import { Timings } from "./logs/worker-log.ts";
import { ingressEntry, gatewayEntry } from "./logs/log-entries.ts";
import { WorkerMetrics } from "./metrics.ts";
import { WorkerPorts, type WorkerPort } from "./worker-ports.ts";
import { workerdSandbox } from "./workerd.ts";

export interface EdgeOptions {
  readonly source: Source;
  /** 32 bytes: opens secrets here, and keys in the gateway. */
  readonly masterKey: Uint8Array;
  /** This edge's alone; made if it is not there, emptied at start and at the end. */
  readonly runDirectory: string;
  /** What Workers keep: an absolute path, made if it is not there. Null, the default: nothing is kept. */
  readonly storageFolder?: string | null;
  /** The port of the ingress. 0: a free one. */
  readonly httpPort: number;
  /** The address that the ingress listens on. Default: 127.0.0.1. */
  readonly httpHost?: string;
  /** TLS at the ingress. Default: plain HTTP only. */
  readonly https?: EdgeHttps | null;
  /** Whose word about clients counts. Default: nobody's. */
  readonly proxies?: ProxyOptions;
  /**
   * Connections that one client address (IPv6: a /64) may have at once, trusted proxies excepted.
   * 0: no limit. Default: 1,024.
   */
  readonly clientConnections?: number;
  /** What each Worker may take of the ingress. Default: without limits. */
  readonly workerShares?: WorkerShares;
  /**
   * Addresses that `fetch()` without a binding may reach: `public`, `private`, `local`, or CIDR
   * blocks. Default: `["public"]`.
   */
  readonly networkAllow?: readonly string[];
  /** Where origins listen that DNS records name. Default: 443. */
  readonly originPort?: number;
  /** Where else the platform listens: Workers reach none of it. Default: nowhere. */
  readonly otherListeners?: readonly { readonly host: string; readonly port: number }[];
  /** How the gateway connects; see `GatewayOptions` for its defaults. */
  readonly gateway?: Omit<StartGatewayOptions, "runDirectory" | "masterKey" | "processes">;
  /** Issues identities to Workers that bind one. Default: none. */
  readonly identities?: IdentityIssuer;
  /** Takes what Workers have to say, and what is said of them. Default: nobody does. */
  readonly onWorkerEvent?: (event: WorkerEvent) => void;
  readonly log: Logger;
  /** Where Workers are reached without the ingress. Default: nowhere. */
  readonly workerPorts?: readonly WorkerPort[];
  /** How many processes each Worker runs in, at least one: requests go to the least busy. Default: 1. */
  readonly workerProcesses?: number;
  /**
   * ms without a request after which a Worker is stopped until the next one; at least twice
   * `waitUntil`. Null, the default: never, and all are started at once.
   */
  readonly idleAfter?: number | null;
  /** What `runDirectory` and `storageFolder` are in, this platform's alone. Default: `runDirectory`. */
  readonly dataFolder?: string;
  /** Whether Workers run in a sandbox of the operating system's. Default: `auto`. */
  readonly sandbox?: SandboxMode;
  /** What each process of a Worker may take. Default: 128 MiB, 10 s. */
  readonly limits?: Partial<ProcessLimits>;
  /** Default: the workerd that comes with the package. */
  readonly workerdPath?: string;
  /** ms for a Worker from its start to its first answer. Default: 15,000. */
  readonly startTimeout?: number;
  /** ms that a generation which was replaced may go on with its requests. Default: 30,000. */
  readonly drain?: number;
  /** ms that its `waitUntil()` tasks have after that, as on Cloudflare. Default: 30,000. */
  readonly waitUntil?: number;
  /**
   * ms that everything may go on with its requests when the edge stops. `waitUntil()` tasks have
   * no time of their own then. Default: 5,000.
   */
  readonly stopGrace?: number;
}

export interface EdgeHttps extends HttpsAddress {
  /** What hosts present that have no certificate of their own. */
  readonly byDefault: ServedCertificate;
}

export interface StartedEdge extends Edge {
  /** The absolute path of a socket that presents a certificate for a program on this machine. */
  openLocalBinding(accountId: string, certificateId: string): Promise<string>;
  /** Where clients reach the Workers: `http://127.0.0.1:8080`. */
  readonly httpUrl: string;
  readonly httpPort: number;
  /** `https://127.0.0.1:8443`. Null: there is no TLS. */
  readonly httpsUrl: string | null;
  /** Swaps what hosts present that have no certificate of their own. */
  presentByDefault(certificate: ServedCertificate): Promise<void>;
  /** By the name of a Worker, after its account's id where that is another: where it is reached without the ingress. */
  workerPorts(firstAccount: string): Readonly<Record<string, readonly string[]>>;
  /** Of ingress, gateway and Workers, as Prometheus reads them. What is being restarted is left out. */
  metrics(): Promise<string>;
  /** All ports of the platform, as the gateway refuses them on this machine. */
  readonly ownPorts: readonly number[];
}

/**
 * Starts gateway, ingress and everything that is deployed, then follows the source's changes.
 * Resolves when each Worker has answered its probe or failed to start for the first time: a broken
 * one is shown with its reason, tried again with growing pauses, and holds up no other.
 */
export async function startEdge(options: EdgeOptions): Promise<StartedEdge> {
  const { source, log, masterKey, drain = 30_000, stopGrace = 5_000 } = options;
  const { waitUntil = 30_000, originPort = 443 } = options;
  await using cleanup = new AsyncDisposableStack();
  const run = await RunDirectory.open(options.runDirectory);
  const sandbox = await workerdSandbox(options.sandbox, {
    ...(options.workerdPath !== undefined && { workerdPath: options.workerdPath }),
    top: resolve(options.dataFolder ?? options.runDirectory),
  });
  const tell = options.onWorkerEvent ?? (() => {});
  const timings = new Timings();
  cleanup.defer(() => run.close());
  const gateway = cleanup.use(
    await startGateway({
      log,
      logLevel: log.level as GatewayOptions["logLevel"],
      ...options.gateway,
      onEvent: (event) => {
        options.gateway?.onEvent?.(event);
        if (event.kind === "failure") tell(gatewayEntry(event));
      },
      runDirectory: run.path,
      processes: run.processes,
      masterKey,
    }),
  );
  const address = {
    host: options.httpHost ?? "127.0.0.1",
    port: options.httpPort,
    proxies: options.proxies ?? noProxies,
    clientConnections: options.clientConnections ?? 1_024,
    workerShares: options.workerShares ?? { requests: 0, body: 0 },
    https: httpsAddress(options.https),
  };
  const links = new ServiceLinks(run, ABSENT_SOCKET);
  // Before the ingress, which is stopped only from further down: a port that is taken ends the start.
  const workerPorts = await WorkerPorts.open({
    ports: options.workerPorts ?? [],
    source,
    drain,
    log,
  });
  cleanup.defer(() => workerPorts.stop(0));
  const ingress = await IngressHandle.start({
    run,
    address,
    byDefault: options.https?.byDefault,
    log,
    howEnded: (socket) => traffic.howEnded(socket),
    wake: (socket) => idle.wakeAt(socket),
    onEvents: (events) => {
      for (const event of events) {
        if (event.kind === "timing") timings.set(event.script, event.ray, event.ms);
        else tell(ingressEntry(event));
      }
    },
    // A fresh one listens again for calls of services that are not deployed.
    listening: () => links.renewAbsent(),
  });
  const { https } = ingress.address;
  const listeners = [
    ...workerPorts.listeners(),
    ...(options.otherListeners ?? []),
    ingress.address,
    ...(https === null ? [] : [https]),
  ];
  const addresses = { ...defaultOptions.addresses, ...options.gateway?.addresses };
  const ports = [...addresses.denyLocalPorts, ...listeners.map(({ port }) => port)];
  // A binding may call one of our own hosts: over TLS it gets what any client gets, and no more.
  const closed = ports.filter((port) => port !== https?.port);
  await gateway.setAddresses({ ...addresses, denyLocalPorts: closed });
  const storage = new Storage({
    run,
    folder: options.storageFolder ?? null,
    sandbox,
    links,
    log,
    target: (key) => {
      const live = traffic.get(key);
      return live === undefined ? null : mainGeneration(live);
    },
  });
  // After everything that asks it.
  cleanup.defer(() => storage.stop(stopGrace));
  const assets = new AssetStore((accountId) => storage.folderOf(accountId));
  const traffic = new Traffic({ ingress, links, run, ports: workerPorts, drain, waitUntil, log });
  cleanup.defer(() => traffic.stop(stopGrace));
  const idle = new IdleWorkers({
    after: idleAfter(options.idleAfter ?? null, waitUntil),
    ingress,
    target: (key) => {
      const live = traffic.get(key);
      return live === undefined ? null : mainGeneration(live);
    },
    routed: () => traffic.scripts().flatMap(generationsOf),
    log,
  });
  cleanup.defer(() => idle.stop());
  const events = new WorkerEvents({ run, traffic, tell });
  cleanup.defer(() => events.stop());
  // The first to go: nothing new comes in while the others finish.
  cleanup.defer(async () => {
    await Promise.all([ingress.stop(stopGrace), workerPorts.stop(stopGrace)]);
  });
  let lastId = 0;
  const keyring = new Keyring(masterKey);
  const identities =
    options.identities === undefined
      ? null
      : new Identities({ issuer: options.identities, gateway, log });
  cleanup.defer(() => identities?.stop());
  const context: GenerationContext = {
    run,
    storage,
    assets,
    identities,
    sandbox,
    keyring,
    gateway,
    listener: null,
    processes: options.workerProcesses ?? 1,
    starts: new SharedSlots(availableParallelism()),
    restarts: new SharedSlots(availableParallelism()),
    networks: () => {
      const own = listeningAt(listeners.map(({ host }) => host));
      return {
        fetch: fetchNetwork(options.networkAllow ?? ["public"], own),
        inProcess: bindingNetwork(addresses, own),
        accessKeys: hereAt(ingress.address),
      };
    },
    limits: { ...defaultLimits, ...options.limits },
    originPort,
    startTimeout: options.startTimeout ?? 15_000,
    log,
    tell,
    timings,
    probe: (socket) => ingress.probe(socket),
    linkService: (path, key, entrypoint) => {
      const live = traffic.get(key);
      return links.add(path, key, entrypoint, live === undefined ? null : mainGeneration(live));
    },
    unlinkServices: (paths) => links.remove(paths),
    renewLinks: async (sockets) => {
      await Promise.all(sockets.map((socket) => links.renew(socket)));
    },
    wantedEntrypoints: (key) => links.wanted(key),
    nextId: () => ++lastId,
    idle,
  };
  const hosts = new IngressHosts({ source, keyring, ingress, log });
  const origins = new Origins({ source, ingress, gateway, port: originPort, log });
  const reconciler = new Reconciler({
    source,
    context,
    traffic,
    ports: workerPorts,
    ingress,
    gateway,
    hosts,
    origins,
    log,
  });
  cleanup.defer(() => reconciler.stop());
  const feed = await Feed.start({
    source,
    log,
    announce: (scripts) => reconciler.announce(scripts),
    announced: () => traffic.complete(),
    apply: (change) => reconciler.apply(change),
  });
  cleanup.defer(() => feed.stop());
  const workers = new WorkerMetrics(() => traffic.generations().flatMap((one) => one.status()));
  const localBindings = new LocalBindings(run, gateway);
  const owned = cleanup.move();
  const { host, port } = ingress.address;
  const metricsPort = gateway.metricsPort();
  return {
    httpUrl: urlOf("http", host, port),
    httpPort: port,
    httpsUrl: https === null ? null : urlOf("https", https.host, https.port),
    presentByDefault: (certificate) => ingress.presentByDefault(certificate),
    workerPorts: (firstAccount) => workerPorts.names(firstAccount),
    ownPorts: metricsPort === null ? ports : [...ports, metricsPort],
    storage: (request) => storage.request(request),
    assets,
    scheduled: (one) => events.scheduled(one),
    removeObjects: (...which) => storage.objects.remove(...which),
    stage: (version) => reconciler.stage(version),
    follow: (key, isFollowed) => reconciler.follow(key, isFollowed),
    metrics: async () => {
      const parts = [ingress.metrics(), gateway.metrics(), workers.registry.metrics()];
      const read = await Promise.allSettled(parts);
      return read.flatMap((one) => (one.status === "fulfilled" ? one.value : [])).join("\n");
    },
    discard: (versionId) => reconciler.discard(versionId),
    applied: (cursor) => feed.applied(cursor),
    testHandshake: (...target) => gateway.testHandshake(...target),
    testDatabase: (...target) => gateway.testDatabase(...target),
    openLocalBinding: (...certificate) => localBindings.open(...certificate),
    adoptMasterKey: async (key) => {
      keyring.adopt(key);
      await gateway.adoptMasterKey(key);
    },
    status: () => ({
      sandbox: { kind: sandbox.kind, summary: sandbox.summary },
      gateway: gateway.status(),
      gatewayProcesses: gateway.processes(),
      ingress: ingress.status(),
      workers: [...traffic.generations(), ...reconciler.staged()].flatMap((one) => one.status()),
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Tasks of `waitUntil()` may go on after the last request, and call other Workers, whose tasks then
 * go on after that.
 */
function idleAfter(asked: number | null, waitUntil: number): number | null {
  return asked === null ? null : Math.max(asked, 2 * waitUntil);
}

/** Where this machine itself reaches a listener. */
function hereAt({ host, port }: { readonly host: string; readonly port: number }): string {
  const here = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `${here.includes(":") ? `[${here}]` : here}:${port}`;
}

function httpsAddress(https: EdgeHttps | null | undefined): HttpsAddress | null {
  if (!https) return null;
  const { host, port, redirect } = https;
  return { host, port, redirect };
}

function urlOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
