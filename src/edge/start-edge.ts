import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Keyring } from "../keys/seal.ts";
import { startGateway } from "../gateway/start.ts";
import { IngressHandle } from "../ingress/handle.ts";
import { ABSENT_SOCKET, type HttpsAddress } from "../ingress/protocol.ts";
import { type GatewayOptions, defaultOptions } from "../contract/gateway-options.ts";
import { Feed } from "./feed.ts";
import { HeldIdentities } from "./identities.ts";
import { listeningAt } from "../network/own-addresses.ts";
import { bindingNetwork, fetchNetwork } from "../network/workerd-network.ts";
import type { GenerationContext } from "./generation/generation-context.ts";
import { IdleWorkers } from "./idle.ts";
import { generationsOf, mainGeneration } from "./live.ts";
import { IngressHosts } from "./ingress-hosts.ts";
import { LocalBindings } from "./config/local-bindings.ts";
import { Origins } from "./origins.ts";
import { AssetStore } from "./assets.ts";
import { Previews, previewShares } from "./previews.ts";
import { Reconciler } from "./reconciler.ts";
import { Traffic } from "./traffic.ts";
import { MemoryGroups } from "../process/memory-groups.ts";
import { RunDirectory } from "../process/run-directory.ts";
import { Storage } from "./storage/storage.ts";
import { WorkflowCalls } from "./storage/workflow-calls.ts";
import { ServiceLinks } from "./config/service-links.ts";
import { WorkerEvents } from "./logs/worker-events.ts";
import { SharedSlots } from "./shared-slots.ts";
import { noProxies } from "../network/trusted-proxies.ts";
import { defaultProcessLimits } from "./generation/worker-limits.ts";
import { MappingTime } from "./logs/mapping-time.ts";
import { Timings } from "./logs/worker-log.ts";
import { gatewayEntry, ingressEntry } from "./logs/log-entries.ts";
import { WorkerMetrics } from "./metrics.ts";
import { WorkerPorts } from "./worker-ports.ts";
import { workerdSandbox } from "./generation/workerd.ts";
import { describeUsers, noUsers } from "../process/walls/process-users.ts";
import type { EdgeHttps, EdgeOptions, StartedEdge } from "./edge-options.ts";

/**
 * Starts gateway, ingress and everything that is deployed, then follows the source's changes.
 * Resolves when each Worker has answered its probe or failed to start for the first time: a broken
 * one is shown with its reason, tried again with growing pauses, and holds up no other.
 */
export async function startEdge(options: EdgeOptions): Promise<StartedEdge> {
  const { source, log, masterKey, drain = 30_000, stopGrace = 5_000 } = options;
  const {
    waitUntil = 30_000,
    originPort = 443,
    users = noUsers("they were not asked for"),
  } = options;
  await using cleanup = new AsyncDisposableStack();
  // Before any process is started that would have to be moved, and after the last has ended.
  const memoryGroups = await MemoryGroups.open();
  cleanup.defer(() => memoryGroups.close());
  const run = await RunDirectory.open(options.runDirectory);
  if (users.ingress !== null) await run.offerTo(users.ingress);
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
      user: users.gateway,
      processes: run.processes,
      masterKey,
    }),
  );
  const address = {
    host: options.httpHost ?? "127.0.0.1",
    port: options.httpPort,
    proxies: options.proxies ?? noProxies,
    clientConnections: options.clientConnections ?? 1_024,
    clientStalled: options.clientStalled ?? 300_000,
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
    count: options.ingressProcesses,
    user: users.ingress,
    address,
    byDefault: options.https?.byDefault,
    ...(options.https?.localLeaf && { localLeaf: options.https.localLeaf }),
    log,
    howEnded: async (socket) => (await previews?.howEnded(socket)) ?? traffic.howEnded(socket),
    preview: async (key) => previews?.start(key) ?? "platform_starting",
    wake: (socket) => idle.wakeAt(socket),
    onEvents: (events) => {
      for (const event of events) {
        if (event.kind === "timing") timings.set(event.script, event.ray, event.ms);
        else tell(ingressEntry(event));
      }
    },
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
  const limits = { ...defaultProcessLimits, ...options.limits };
  const storage = new Storage({
    run,
    folder: options.storageFolder ?? null,
    sandbox,
    links,
    // 30 s, as long as a query of D1 may take on Cloudflare.
    cpu: 3 * limits.cpu,
    log,
    target: (key) => {
      const live = traffic.get(key);
      return live === undefined ? null : mainGeneration(live);
    },
  });
  // After all processes that call it.
  cleanup.defer(() => storage.stop(stopGrace));
  const assets = new AssetStore((accountId) => storage.folderOf(accountId));
  const traffic = new Traffic({ ingress, links, run, ports: workerPorts, drain, waitUntil, log });
  cleanup.defer(() => traffic.stop(stopGrace));
  let previews: Previews | null = null;
  cleanup.defer(() => previews?.stop(stopGrace));
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
  const workflows = new WorkflowCalls({ run, traffic, objects: storage.objects });
  cleanup.defer(() => workflows.stop());
  // It stops first, so that no new request comes in while the others finish.
  cleanup.defer(async () => {
    await Promise.all([ingress.stop(stopGrace), workerPorts.stop(stopGrace)]);
  });
  let lastId = 0;
  const keyring = new Keyring(masterKey);
  const identities =
    options.identities === undefined
      ? null
      : new HeldIdentities({ issuer: options.identities, gateway, log });
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
    limits,
    memoryGroups,
    originPort,
    startTimeout: options.startTimeout ?? 15_000,
    log,
    tell,
    timings,
    mapping: new MappingTime(),
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
  const origins = new Origins({ source, ingress, gateway, run, port: originPort, log });
  const previewed = new Previews({
    source,
    context,
    ingress,
    shares: { ...previewShares, ...options.previews },
    drain,
    waitUntil,
    prepare: (version) => reconciler.prepare(version),
    log,
  });
  previews = previewed;
  const reconciler = new Reconciler({
    source,
    previews: previewed,
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
    portsOf: (key) => workerPorts.of(key),
    ownPorts: metricsPort === null ? ports : [...ports, metricsPort],
    storage: (request) => storage.request(request),
    assets,
    scheduled: (one) => events.scheduled(one),
    workflow: (...call) => workflows.call(...call),
    workflowInstances: (...which) => workflows.list(...which),
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
      users: describeUsers(users),
      memoryGroups: { isInForce: memoryGroups.isInForce, summary: memoryGroups.summary },
      gateway: gateway.status(),
      gatewayProcesses: gateway.processes(),
      ingress: ingress.status(),
      ingressProcesses: ingress.processes(),
      workers: [
        ...traffic.generations(),
        ...reconciler.staged(),
        ...previewed.generations(),
      ].flatMap((one) => one.status()),
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
