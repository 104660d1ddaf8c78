import type { Server } from "node:http";
import type { MethodHandlers } from "../process/calls.ts";
import { Gate } from "./access/gate.ts";
import { listenForAbsent } from "./absent.ts";
import { choose } from "./choose.ts";
import type { PreviewKey } from "../contract/change-feed.ts";
import { Challenges } from "./challenges.ts";
import type { HostChallenge, ServedCertificate, ServedHost, ZoneRules } from "../contract/hosts.ts";
import { Answers, type Found, type RequestFacts } from "./answers.ts";
import { Clients } from "./clients.ts";
import { Hosts } from "./tls/hosts.ts";
import { LocalLeaves } from "./tls/local-leaves.ts";
import { Listener } from "./listener.ts";
import { SecureListener } from "./secure-listener.ts";
import {
  type AccessUpdate,
  type HeldByIngress,
  type HowEnded,
  type IngressMethods,
  KEYS_ONLY,
  type ListenAddress,
  type ScriptTarget,
  type ScriptUpdate,
} from "./protocol.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import type { CountedMetrics } from "../process/summed-metrics.ts";
import { ConnectionShares } from "../network/connection-shares.ts";
import { StalledReaders } from "../network/stalled-readers.ts";
import { TrustedProxies } from "../network/trusted-proxies.ts";
import { isDirectFromThisMachine, isLocalName } from "./request.ts";
import { IngressObserver, type IngressEvent, type Script } from "./observe.ts";
import type { FailureCode } from "../failures/failures.ts";
import { RoutingTable } from "./table.ts";
import { Upstream } from "./upstream.ts";
import { Zones } from "./zones.ts";

/** Leads each request to a generation of the script that answers for its URL. */
export class Ingress implements MethodHandlers<IngressMethods> {
  readonly #table = new RoutingTable();
  readonly #gate = new Gate();
  readonly #upstreams = new Map<string, Upstream>();
  readonly #hosts = new Hosts();
  readonly #zones = new Zones();
  readonly #clients = new Clients();
  readonly #challenges = new Challenges();
  readonly #answers: Answers;
  readonly #leaves: LocalLeaves;
  readonly #listener: Listener;
  readonly #observer: IngressObserver;
  #secure: SecureListener | null = null;
  #byDefault: ServedCertificate | null = null;
  #absent: Server | null = null;
  readonly #held = new Map<HeldByIngress, PassedHandle>();
  #turn = 0;
  #isComplete = false;
  #reportedAt = -Infinity;
  readonly #warn: (message: string) => void;
  readonly #wake: Supervisor["wake"];
  readonly #preview: (key: PreviewKey) => Promise<FailureCode | null>;

  /**
   * @param supervisor `howEnded`: has the process that listens at this socket just ended? `wake`: has
   * it started if it is idle
   * @param warn writes a line into the log
   * @param tell hears of requests
   */
  constructor(
    supervisor: Supervisor,
    warn: (message: string) => void,
    tell: (events: readonly IngressEvent[]) => void = () => {},
  ) {
    this.#warn = warn;
    this.#wake = supervisor.wake;
    this.#preview = oneAtATime(supervisor.preview);
    this.#leaves = new LocalLeaves(supervisor.localLeaf, (host) => this.#table.has(host));
    this.#observer = new IngressObserver(tell);
    this.#answers = new Answers({
      find: (wanted) => this.#find(wanted),
      hosts: this.#hosts,
      zones: this.#zones,
      clients: this.#clients,
      challenges: this.#challenges,
      howEnded: supervisor.howEnded,
      observer: this.#observer,
    });
    this.#listener = new Listener(this.#answers);
  }

  scripts(updates: readonly ScriptUpdate[]): void {
    this.#table.update(updates);
    for (const { accountId, scriptName, entry } of updates) {
      if (entry === null) this.#observer.metrics.forget(accountId, scriptName);
    }
  }

  async metrics(): Promise<CountedMetrics> {
    return {
      pid: process.pid,
      metrics: await this.#observer.metrics.registry.getMetricsAsJSON(),
    };
  }

  access(update: AccessUpdate): void {
    this.#gate.update(update);
    const hosts = new Map<string, string[]>();
    for (const { certificate, hosts: names } of update.access.authorities) {
      for (const name of names) hosts.set(name, [...(hosts.get(name) ?? []), certificate]);
    }
    this.#hosts.askFor(update.accountId, hosts);
  }

  complete(): void {
    this.#isComplete = true;
  }

  hosts(accountId: string, hosts: readonly ServedHost[], revoked: readonly string[]): void {
    this.#hosts.update(accountId, hosts, revoked);
  }

  zones(accountId: string, zones: readonly ZoneRules[]): void {
    this.#zones.update(accountId, zones);
  }

  challenges(accountId: string, challenges: readonly HostChallenge[]): void {
    this.#challenges.update(accountId, challenges);
  }

  presentByDefault(certificate: ServedCertificate): void {
    this.#byDefault = certificate;
    this.#leaves.forget();
    this.#secure?.presentByDefault(certificate);
  }

  take(what: HeldByIngress, socket: PassedHandle): void {
    this.#held.set(what, socket);
  }

  async listen(address: ListenAddress): Promise<void> {
    const { host, port, proxies, clientConnections, workerShares, https, place } = address;
    const readers = new StalledReaders(address.clientStalled, () =>
      this.#observer.metrics.stalled(),
    );
    this.#observer.share(place);
    this.#absent ??= await listenForAbsent(this.#taken("absent"));
    this.#answers.trust(proxies, workerShares, clientConnections);
    const trusted = new TrustedProxies(proxies);
    const shares = new ConnectionShares({
      most: clientConnections,
      isExcepted: (client) => trusted.trusts(client),
      onFull: (client) => this.#report(client, clientConnections),
    });
    this.#listener.accept(proxies, shares, readers);
    if (https !== null) {
      this.#secure = this.#secureListener();
      this.#secure.accept(proxies, shares, readers);
      await this.#secure.listen({ ...https, socket: this.#taken("https") });
      this.#answers.secureAt(https.port, https.redirect);
    }
    await this.#listener.listen({ host, port, socket: this.#taken("http") });
  }

  #taken(what: HeldByIngress): PassedHandle {
    const socket = this.#held.get(what);
    if (socket === undefined) throw new Error(`there is no socket to listen at: ${what}`);
    return socket;
  }

  #secureListener(): SecureListener {
    if (this.#byDefault === null) throw new Error("there is no default certificate");
    return new SecureListener({
      answers: this.#answers,
      hosts: this.#hosts,
      zones: this.#zones,
      clients: this.#clients,
      challenges: this.#challenges,
      leaves: this.#leaves,
      byDefault: this.#byDefault,
    });
  }

  /** One line in ten seconds, however many connections are closed. */
  #report(client: string, most: number): void {
    const now = performance.now();
    if (now - this.#reportedAt < 10_000) return;
    this.#reportedAt = now;
    this.#warn(
      `${client} has ${most} connections, and is refused more: see --client-connections and --trusted-proxies`,
    );
  }

  async probe(socket: string): Promise<void> {
    const upstream = new Upstream(socket);
    try {
      const { statusCode, body } = await upstream.dispatcher.request({
        path: "/",
        method: "GET",
        headersTimeout: PROBE_TIMEOUT,
      });
      await body.dump();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    } finally {
      await upstream.retire();
    }
  }

  async retire(socket: string): Promise<number | null> {
    const upstream = this.#upstreams.get(socket);
    this.#upstreams.delete(socket);
    if (upstream === undefined) return null;
    await upstream.retire();
    return upstream.idleFor;
  }

  idleFor(sockets: readonly string[]): readonly (number | null)[] {
    return sockets.map((socket) => this.#upstreams.get(socket)?.idleFor ?? null);
  }

  release(sockets: readonly string[], idleFor: number): boolean {
    const all = sockets.flatMap((socket) => this.#upstreams.get(socket) ?? []);
    if (all.some((upstream) => upstream.idleFor < idleFor)) return false;
    for (const upstream of all) {
      this.#upstreams.delete(upstream.socket);
      // Nothing goes on there, so nothing is waited for.
      void upstream.retire();
    }
    return true;
  }

  /** Something was thrown where nothing catches it: what is in flight is told, this process ends. */
  abandon(): void {
    this.#answers.abandon();
  }

  async drain(): Promise<void> {
    this.#absent?.close();
    await Promise.all([this.#listener.drain(), this.#secure?.drain()]);
  }

  #find(wanted: RequestFacts): Found {
    const { host, path, request } = wanted;
    // Until all are known, a wildcard may match what belongs to a Worker that is not known yet.
    if (!this.#isComplete) return "platform_starting";
    // Any client can send such a `Host`; only this machine's own can mean it (RFC 6761).
    if (isLocalName(host) && !isDirectFromThisMachine(request)) return "host_unknown";
    const entry = this.#table.find(host, path);
    if (entry === null) return "host_unknown";
    const verdict = this.#gate.check({
      accountId: this.#table.accountOf(entry),
      host,
      path,
      origin: wanted.origin,
      address: wanted.client,
      clientId: single(request.headers["cf-access-client-id"]),
      clientSecret: single(request.headers["cf-access-client-secret"]),
      certificate: (authorities) => wanted.proves(authorities),
    });
    if (verdict.kind === "refuse") return verdict.code;
    if (verdict.kind !== "pass") return verdict;
    if (KEYS_ONLY in request.headers) return "host_unknown";
    if (entry.starts !== undefined) return { kind: "starts", ready: this.#preview(entry.starts) };
    const target = choose(entry, request.headers);
    const script = {
      accountId: this.#table.accountOf(entry),
      scriptName: entry.scriptName ?? "",
      versionId: target?.versionId ?? null,
      isTraced: target?.isTraced === true,
    };
    if (target === null) return this.#unavailable(script, wanted);
    const { headers } = verdict;
    const isOrigin = entry.isOrigin === true;
    return { kind: "upstream", upstream: this.#leastBusy(target), headers, script, isOrigin };
  }

  #unavailable(script: Script, { ray, request, origin, path }: RequestFacts): FailureCode {
    const code = "worker_unavailable";
    const url = origin + path;
    this.#observer.refused(script, { ray, method: request.method ?? "", url }, code);
    return code;
  }

  /** Of the processes that are there, the one with the fewest requests; among equals each in turn. */
  #leastBusy(target: ScriptTarget): Upstream {
    const { sockets } = target;
    if (sockets.length === 1) return this.#upstream(sockets[0]!, target);
    this.#turn = (this.#turn + 1) % sockets.length;
    const turned = [...sockets.slice(this.#turn), ...sockets.slice(0, this.#turn)];
    const all = turned.map((socket) => this.#upstream(socket, target));
    const there = all.filter(({ isGone }) => !isGone);
    for (const upstream of all) if (upstream.isGone) upstream.lookAgain();
    return (there.length > 0 ? there : all).reduce((a, b) => (b.requests < a.requests ? b : a));
  }

  #upstream(socket: string, { patience, wakes }: ScriptTarget): Upstream {
    let upstream = this.#upstreams.get(socket);
    if (upstream === undefined) {
      upstream = new Upstream(socket, { patience, ...(wakes && { wake: this.#wake }) });
      this.#upstreams.set(socket, upstream);
    }
    return upstream;
  }
}

/** Who knows of processes. */
export interface Supervisor {
  howEnded(this: void, socket: string): Promise<HowEnded>;
  wake(this: void, socket: string): Promise<boolean>;
  /** Null: the version runs, and its hosts lead to it. */
  preview(this: void, key: PreviewKey): Promise<FailureCode | null>;
  /** Signed by this machine's own CA. Null: it does not speak for the name. */
  localLeaf(this: void, name: string): Promise<ServedCertificate | null>;
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? header : undefined;
}

/** All requests that wait for a version share one answer. It never rejects. */
function oneAtATime(ask: Supervisor["preview"]): Supervisor["preview"] {
  const asked = new Map<string, Promise<FailureCode | null>>();
  return (key) => {
    const { versionId } = key;
    let answer = asked.get(versionId);
    if (answer === undefined) {
      answer = ask(key)
        .catch((): FailureCode => "worker_unavailable")
        .finally(() => asked.delete(versionId));
      asked.set(versionId, answer);
    }
    return answer;
  };
}

/** ms */
const PROBE_TIMEOUT = 10_000;
