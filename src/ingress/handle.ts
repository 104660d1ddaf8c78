import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { PreviewKey } from "../contract/change-feed.ts";
import type { FailureCode } from "../failures/failures.ts";
import { keyIn } from "../contract/key-in.ts";
import type { IngressEvent } from "./observe.ts";
import { Supervised, type Tell } from "../process/supervised.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { HostChallenge, ServedCertificate, ServedHost, ZoneRules } from "../contract/hosts.ts";
import { IngressSockets } from "./ingress-sockets.ts";
import type { ProcessUser } from "../process/walls/process-users.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import {
  ingressRules,
  type AccessUpdate,
  type Asked,
  type HowEnded,
  type IngressMethods,
  type ListenAddress,
  type ScriptUpdate,
} from "./protocol.ts";

export interface IngressOptions {
  readonly run: RunDirectory;
  /**
   * Whom it runs as: it reaches the sockets that the run directory offers, and nothing else there.
   * Default: the user of this process.
   */
  readonly user?: ProcessUser | null;
  readonly address: ListenAddress;
  /** What hosts present that have no certificate of their own; needed where `address` has TLS. */
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
 * The supervisor's side of the ingress. It keeps the wanted state: an ingress that ends is started
 * again, told all of it, and only then listens, on the port that it had.
 */
export class IngressHandle {
  readonly #scripts = new Map<string, ScriptUpdate>();
  readonly #access = new Map<string, AccessUpdate>();
  /** For each socket: how often the ingress had been started again when it was first told of it. */
  readonly #told = new Map<string, number>();
  readonly #hosts = new Map<string, readonly [readonly ServedHost[], readonly string[]]>();
  readonly #zones = new Map<string, readonly ZoneRules[]>();
  readonly #challenges = new Map<string, readonly HostChallenge[]>();
  #byDefault: ServedCertificate | null;
  readonly #sockets: IngressSockets;
  #isComplete = false;
  #process: Supervised<IngressMethods> | null = null;

  private constructor({ byDefault }: IngressOptions, sockets: IngressSockets) {
    this.#sockets = sockets;
    this.#byDefault = byDefault ?? null;
  }

  /** @throws Failure `port_in_use` …, and of `Supervised.start` */
  static async start(options: IngressOptions): Promise<IngressHandle> {
    const sockets = await IngressSockets.open(options.run.path, options.address);
    try {
      return await IngressHandle.#start(options, sockets);
    } catch (error) {
      sockets.close();
      throw error;
    }
  }

  static async #start(options: IngressOptions, sockets: IngressSockets): Promise<IngressHandle> {
    const { run, user = null, log } = options;
    const handle = new IngressHandle(options, sockets);
    handle.#process = await Supervised.start<IngressMethods>({
      name: "ingress",
      modulePath:
        options.modulePath ??
        fileURLToPath(new URL(`./main${extname(import.meta.filename)}`, import.meta.url)),
      workingDirectory: run.offered?.folder ?? run.path,
      user,
      processes: run.processes,
      log,
      rules: ingressRules,
      onEvent: (events) => options.onEvents?.(events as readonly IngressEvent[]),
      onAsk: (question) => {
        const asked = question as Asked;
        if ("ended" in asked) return options.howEnded(asked.ended);
        if ("leaf" in asked) return options.localLeaf?.(asked.leaf) ?? Promise.resolve(null);
        if ("preview" in asked) {
          return options.preview?.(asked.preview) ?? Promise.resolve("worker_unavailable");
        }
        return options.wake?.(asked.wake) ?? Promise.resolve(false);
      },
      restore: (tell) => handle.#restore(tell),
    });
    return handle;
  }

  /** Where it listens. */
  get address(): ListenAddress {
    return this.#sockets.address;
  }

  status(): ProcessStatus {
    return this.#process!.status();
  }

  /** In force on return, all at once. */
  async scripts(updates: readonly ScriptUpdate[]): Promise<void> {
    for (const update of updates) {
      const id = keyIn(update.accountId, update.scriptName);
      if (update.entry === null) this.#scripts.delete(id);
      else this.#scripts.set(id, update);
    }
    const { restarts } = this.status();
    for (const socket of updates.flatMap(socketsOf)) {
      if (!this.#told.has(socket)) this.#told.set(socket, restarts);
    }
    await this.#call("scripts", updates);
  }

  /** Who reaches an account's hosts: in force on return. */
  async access(update: AccessUpdate): Promise<void> {
    this.#access.set(update.accountId, update);
    await this.#call("access", update);
  }

  /** Every script that is deployed was told. Until then no request is answered by any. */
  async complete(): Promise<void> {
    this.#isComplete = true;
    await this.#call("complete");
  }

  /** In force on return, for handshakes that begin from now on. */
  async hosts(
    accountId: string,
    hosts: readonly ServedHost[],
    revoked: readonly string[],
  ): Promise<void> {
    this.#hosts.set(accountId, [hosts, revoked]);
    await this.#call("hosts", accountId, hosts, revoked);
  }

  /** What zones say of their hosts: in force on return, for requests and handshakes that begin from now on. */
  async zones(accountId: string, zones: readonly ZoneRules[]): Promise<void> {
    const before = this.#zones.get(accountId) ?? [];
    if (before.length === 0 && zones.length === 0) return;
    this.#zones.set(accountId, zones);
    await this.#call("zones", accountId, zones);
  }

  /** What ACME servers are answered: in force on return. */
  async challenges(accountId: string, challenges: readonly HostChallenge[]): Promise<void> {
    const before = this.#challenges.get(accountId) ?? [];
    if (before.length === 0 && challenges.length === 0) return;
    this.#challenges.set(accountId, challenges);
    await this.#call("challenges", accountId, challenges);
  }

  async presentByDefault(certificate: ServedCertificate): Promise<void> {
    this.#byDefault = certificate;
    await this.#call("presentByDefault", certificate);
  }

  async probe(socket: string): Promise<void> {
    await this.#call("probe", socket);
  }

  /**
   * No request goes to it any more. Resolves with the ms since the last one has ended; 0 if that is
   * not known, Infinity if there was none.
   */
  async retire(socket: string): Promise<number> {
    const told = this.#told.get(socket);
    this.#told.delete(socket);
    const idleFor = await this.#call("retire", socket);
    // What a process before this one sent is not known to it.
    return idleFor ?? (told === this.status().restarts ? Infinity : 0);
  }

  /** As of `IngressMethods`. */
  idleFor(sockets: readonly string[]): Promise<readonly (number | null)[]> {
    return this.#call("idleFor", sockets);
  }

  /** As of `IngressMethods`. */
  release(sockets: readonly string[], idleFor: number): Promise<boolean> {
    return this.#call("release", sockets, idleFor);
  }

  /** As Prometheus reads them. */
  metrics(): Promise<string> {
    return this.#call("metrics");
  }

  /** Finishes what is in flight, for `grace` ms at most, and ends. */
  async stop(grace: number): Promise<void> {
    // First: what nobody will accept any more is refused, and does not wait.
    this.#sockets.close();
    await this.#process!.stop(grace);
  }

  async #restore(tell: Tell<IngressMethods>): Promise<void> {
    for (const update of this.#access.values()) await tell("access", update);
    await tell("scripts", [...this.#scripts.values()]);
    if (this.#isComplete) await tell("complete");
    for (const [accountId, told] of this.#hosts) await tell("hosts", accountId, ...told);
    for (const [accountId, zones] of this.#zones) await tell("zones", accountId, zones);
    for (const [accountId, all] of this.#challenges) await tell("challenges", accountId, all);
    if (this.#byDefault !== null) await tell("presentByDefault", this.#byDefault);
    for (const [what, socket] of this.#sockets.all) await tell("take", what, socket);
    await tell("listen", this.address);
  }

  #call<M extends keyof IngressMethods>(
    method: M,
    ...args: Parameters<IngressMethods[M]>
  ): Promise<ReturnType<IngressMethods[M]>> {
    return this.#process!.call(method, args);
  }
}

function socketsOf({ entry }: ScriptUpdate): readonly string[] {
  return entry?.targets.flatMap(({ sockets }) => sockets) ?? [];
}
