import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { PreviewKey } from "../contract/change-feed.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { HostChallenge, ServedCertificate, ServedHost, ZoneRules } from "../contract/hosts.ts";
import { keyIn } from "../contract/key-in.ts";
import type { FailureCode } from "../failures/failures.ts";
import { someOf, type ProcessPlace } from "../process/place.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import { SummedMetrics } from "../process/summed-metrics.ts";
import { Supervised, type Tell } from "../process/supervised.ts";
import { inAll, startAll, statusOfAll } from "../process/together.ts";
import type { ProcessUser } from "../process/walls/process-users.ts";
import { IngressSockets } from "./ingress-sockets.ts";
import type { IngressEvent } from "./observe.ts";
import {
  ingressRules,
  type AccessUpdate,
  type AskedOfSupervisor,
  type HowEnded,
  type IngressMethods,
  type ListenAddress,
  type ScriptUpdate,
  type WantedAddress,
} from "./protocol.ts";

export interface IngressOptions {
  readonly run: RunDirectory;
  /** How many processes accept connections. Default: one */
  readonly count?: number | undefined;
  /**
   * Whom they run as: they reach the sockets that the run directory offers, and nothing else there.
   * Default: the user of this process.
   */
  readonly user?: ProcessUser | null;
  readonly address: WantedAddress;
  /** The default certificate, for hosts without one of their own. Needed if `address` has TLS. */
  readonly byDefault?: ServedCertificate | undefined;
  readonly log: Logger;
  /** Has the process that listens at this socket just ended? */
  howEnded(this: void, socket: string): Promise<HowEnded>;
  /** A request finds no process there: has it started if it is idle. True: it was, and runs now. */
  wake?(this: void, socket: string): Promise<boolean>;
  /** Has a version run that has a host of its own. Null: it does, and the host leads to it. */
  preview?(this: void, key: PreviewKey): Promise<FailureCode | null>;
  /** A certificate of this machine's own CA. Null, the default: it does not speak for the name. */
  localLeaf?(this: void, name: string): Promise<ServedCertificate | null>;
  /** Hears of requests. */
  readonly onEvents?: (events: readonly IngressEvent[]) => void;
  /** The module that it runs. Default: the ingress's own. */
  readonly modulePath?: string | undefined;
}

/**
 * The supervisor's side of the ingress, which has one process or several. It holds the ports and
 * the wanted state. A process that ends is started again, gets the whole state, and only then
 * accepts connections. Connections that arrive meanwhile go to the other processes, or wait. A
 * change is in force when all processes have it.
 */
export class IngressHandle {
  readonly #scripts = new Map<string, ScriptUpdate>();
  readonly #access = new Map<string, AccessUpdate>();
  readonly #hosts = new Map<string, readonly [readonly ServedHost[], readonly string[]]>();
  readonly #challenges = new Map<string, readonly HostChallenge[]>();
  readonly #summed = new SummedMetrics();
  readonly #zones = new Map<string, readonly ZoneRules[]>();
  readonly #sockets: IngressSockets;
  readonly #members: readonly Member[];
  #byDefault: ServedCertificate | null;
  #isComplete = false;

  private constructor({ byDefault, count = 1 }: IngressOptions, sockets: IngressSockets) {
    this.#sockets = sockets;
    this.#byDefault = byDefault ?? null;
    this.#members = Array.from({ length: count }, (_, index) => new Member({ index, count }));
  }

  /** @throws Failure `port_in_use` …, or what the start of a process throws; nothing is left then */
  static async start(options: IngressOptions): Promise<IngressHandle> {
    const sockets = await IngressSockets.open(options.run.path, options.address);
    try {
      const handle = new IngressHandle(options, sockets);
      await startAll(
        handle.#members,
        (member) => member.start(options, (tell) => handle.#restore(tell, member)),
        (member) => member.process.stop(0),
      );
      return handle;
    } catch (error) {
      sockets.close();
      throw error;
    }
  }

  /** Where it listens. */
  get address(): WantedAddress {
    return this.#sockets.address;
  }

  /** Of all its processes together. */
  status(): ProcessStatus {
    return statusOfAll(this.processes());
  }

  processes(): readonly ProcessStatus[] {
    return this.#members.map(({ process }) => process.status());
  }

  /** In force on return, all at once in each process. */
  async scripts(updates: readonly ScriptUpdate[]): Promise<void> {
    for (const update of updates) {
      const id = keyIn(update.accountId, update.scriptName);
      if (update.entry === null) this.#scripts.delete(id);
      else this.#scripts.set(id, update);
    }
    const sockets = updates.flatMap(socketsOf);
    for (const member of this.#members) member.willTell(sockets);
    await this.#tellAll("scripts", updates);
  }

  /** Who reaches an account's hosts: in force on return. */
  async access(update: AccessUpdate): Promise<void> {
    this.#access.set(update.accountId, update);
    await this.#tellAll("access", update);
  }

  /** Every script that is deployed was told. Until then no request is answered by any. */
  async complete(): Promise<void> {
    this.#isComplete = true;
    await this.#tellAll("complete");
  }

  /** In force on return, for handshakes that begin from now on. */
  async hosts(
    accountId: string,
    hosts: readonly ServedHost[],
    revoked: readonly string[],
  ): Promise<void> {
    this.#hosts.set(accountId, [hosts, revoked]);
    await this.#tellAll("hosts", accountId, hosts, revoked);
  }

  /** What zones say of their hosts: in force on return, for requests and handshakes that begin from now on. */
  async zones(accountId: string, zones: readonly ZoneRules[]): Promise<void> {
    const before = this.#zones.get(accountId) ?? [];
    if (before.length === 0 && zones.length === 0) return;
    this.#zones.set(accountId, zones);
    await this.#tellAll("zones", accountId, zones);
  }

  /** What ACME servers are answered: in force on return. */
  async challenges(accountId: string, challenges: readonly HostChallenge[]): Promise<void> {
    const before = this.#challenges.get(accountId) ?? [];
    if (before.length === 0 && challenges.length === 0) return;
    this.#challenges.set(accountId, challenges);
    await this.#tellAll("challenges", accountId, challenges);
  }

  async presentByDefault(certificate: ServedCertificate): Promise<void> {
    this.#byDefault = certificate;
    await this.#tellAll("presentByDefault", certificate);
  }

  async probe(socket: string): Promise<void> {
    const running = this.#members.find(isRunning) ?? this.#members[0]!;
    await running.process.call("probe", [socket]);
  }

  /**
   * No request goes to it any more. Resolves with the ms since the last one has ended; 0 if that is
   * not known, Infinity if there was none.
   */
  async retire(socket: string): Promise<number> {
    return Math.min(...(await inAll(this.#members, (member) => member.retire(socket))));
  }

  /** As of `IngressMethods`. */
  async idleFor(sockets: readonly string[]): Promise<readonly (number | null)[]> {
    const all = await this.#tellAll("idleFor", sockets);
    return sockets.map((_, index) => {
      const known = all.flatMap((one) => one[index] ?? []);
      return known.length === 0 ? null : Math.min(...known);
    });
  }

  /**
   * As of `IngressMethods`. Where one says no, others have closed connections that were idle: the next
   * request connects anew.
   */
  async release(sockets: readonly string[], idleFor: number): Promise<boolean> {
    const released = await this.#tellAll("release", sockets, idleFor);
    return released.every(Boolean);
  }

  /** As Prometheus reads them. Those of a process that does not answer are as they were when it last did. */
  async metrics(): Promise<string> {
    const running = this.#members.filter(isRunning);
    const read = await Promise.allSettled(
      running.map(({ process }) => process.call("metrics", [])),
    );
    return this.#summed.sum(
      read.flatMap((one) => (one.status === "fulfilled" ? one.value : [])),
      this.processes().flatMap(({ pid }) => pid ?? []),
    );
  }

  /** Finishes what is in flight, for `grace` ms at most, and ends. */
  async stop(grace: number): Promise<void> {
    // First, so that new connections are refused and do not wait.
    this.#sockets.close();
    await inAll(this.#members, ({ process }) => process.stop(grace));
  }

  async #restore(tell: Tell<IngressMethods>, { place }: Member): Promise<void> {
    for (const update of this.#access.values()) await tell("access", update);
    await tell("scripts", [...this.#scripts.values()]);
    if (this.#isComplete) await tell("complete");
    for (const [accountId, told] of this.#hosts) await tell("hosts", accountId, ...told);
    for (const [accountId, zones] of this.#zones) await tell("zones", accountId, zones);
    for (const [accountId, all] of this.#challenges) await tell("challenges", accountId, all);
    if (this.#byDefault !== null) await tell("presentByDefault", this.#byDefault);
    for (const [what, socket] of this.#sockets.all) await tell("take", what, socket);
    await tell("listen", dealtOut(this.address, place));
  }

  #tellAll<M extends keyof IngressMethods>(
    method: M,
    ...args: Parameters<IngressMethods[M]>
  ): Promise<ReturnType<IngressMethods[M]>[]> {
    return inAll(this.#members, ({ process }) => process.call(method, args));
  }
}

/** One of its processes, and what only that one knows. */
class Member {
  readonly place: ProcessPlace;
  /** For each socket: how often the process had been started again when it was first told of it. */
  readonly #told = new Map<string, number>();
  #process: Supervised<IngressMethods> | null = null;

  constructor(place: ProcessPlace) {
    this.place = place;
  }

  get process(): Supervised<IngressMethods> {
    return this.#process!;
  }

  async start(
    options: IngressOptions,
    restore: (tell: Tell<IngressMethods>) => Promise<void>,
  ): Promise<void> {
    const { run, user = null, log, modulePath } = options;
    const { index, count } = this.place;
    this.#process = await Supervised.start<IngressMethods>({
      name: count === 1 ? "ingress" : `ingress ${index + 1}`,
      modulePath:
        modulePath ??
        fileURLToPath(new URL(`./main${extname(import.meta.filename)}`, import.meta.url)),
      workingDirectory: run.offered?.folder ?? run.path,
      user,
      processes: run.processes,
      log,
      rules: ingressRules,
      onEvent: (events) => options.onEvents?.(events as readonly IngressEvent[]),
      onAsk: (question) => answerTo(question as AskedOfSupervisor, options),
      restore,
    });
  }

  /** It is told of these sockets next. */
  willTell(sockets: readonly string[]): void {
    const { restarts } = this.process.status();
    for (const socket of sockets) {
      if (!this.#told.has(socket)) this.#told.set(socket, restarts);
    }
  }

  /** As of the handle. */
  async retire(socket: string): Promise<number> {
    const told = this.#told.get(socket);
    this.#told.delete(socket);
    const idleFor = await this.process.call("retire", [socket]);
    // The process does not know which requests an earlier process sent.
    return idleFor ?? (told === this.process.status().restarts ? Infinity : 0);
  }
}

function answerTo(asked: AskedOfSupervisor, options: IngressOptions): Promise<unknown> {
  if ("ended" in asked) return options.howEnded(asked.ended);
  if ("leaf" in asked) return options.localLeaf?.(asked.leaf) ?? Promise.resolve(null);
  if ("preview" in asked) {
    return options.preview?.(asked.preview) ?? Promise.resolve("worker_unavailable");
  }
  return options.wake?.(asked.wake) ?? Promise.resolve(false);
}

/** All processes together have as much as one would, and each has one at least. */
function dealtOut(address: WantedAddress, place: ProcessPlace): ListenAddress {
  const share = (limit: number): number => (limit === 0 ? 0 : someOf(limit, place));
  const { clientConnections, workerShares } = address;
  return {
    ...address,
    place,
    clientConnections: share(clientConnections),
    workerShares: { ...workerShares, requests: share(workerShares.requests) },
  };
}

function isRunning({ process }: Member): boolean {
  return process.status().state === "running";
}

function socketsOf({ entry }: ScriptUpdate): readonly string[] {
  return entry?.targets.flatMap(({ sockets }) => sockets) ?? [];
}
