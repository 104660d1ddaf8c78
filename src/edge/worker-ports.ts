import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { ScriptKey, Source } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { listenFailure } from "../network/listen-failure.ts";
import { portRefusal } from "../network/own-port.ts";
import { HeldSocket, type HeldAddress } from "../process/held-socket.ts";
import type { Generation } from "./generation/generation.ts";
import { mainGeneration, scriptId, type LiveScript } from "./live.ts";

/** Where clients reach one Worker without the ingress. */
export interface WorkerPort extends ScriptKey {
  readonly listen: HeldAddress;
}

export interface WorkerPortsOptions {
  readonly ports: readonly WorkerPort[];
  readonly source: Pick<Source, "access" | "hosts">;
  /** ms that a process which was replaced may go on with its requests */
  readonly drain: number;
  readonly log: Logger;
}

/**
 * Ports and Unix sockets of Workers. Each has processes of its own, beside those that the ingress
 * reaches: they get the listening socket, which this process holds, so that connections wait in it
 * while one process takes over from another.
 *
 * What the ingress does for a host is not done there. The API refuses to a Worker with a port what
 * relies on that (Access, client certificates, several versions). Should it run all the same, its
 * port is closed for as long as it does.
 */
export class WorkerPorts {
  readonly #doors: readonly Door[];

  private constructor(doors: readonly Door[]) {
    this.#doors = doors;
  }

  /** @throws Failure `port_in_use`, `port_not_permitted`, `address_not_here`, `address_unknown`, `worker_socket_taken` */
  static async open(options: WorkerPortsOptions): Promise<WorkerPorts> {
    const doors = options.ports.map((port) => new Door(port, options));
    const ports = new WorkerPorts(doors);
    try {
      for (const door of doors) await door.open();
      return ports;
    } catch (error) {
      await ports.stop(0);
      throw error;
    }
  }

  /**
   * By the Worker's name, after its account's id where that is another: `http://127.0.0.1:8080`, or
   * a path. What is refused a port is not there.
   */
  names(firstAccount: string): Readonly<Record<string, readonly string[]>> {
    const names: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
    for (const { port, name } of this.#doors) {
      const { accountId, scriptName } = port;
      const worker = accountId === firstAccount ? scriptName : `${accountId}/${scriptName}`;
      if (name !== null) (names[worker] ??= []).push(name);
    }
    return names;
  }

  /** Those of one Worker: `http://127.0.0.1:8080`, or a path. */
  of({ accountId, scriptName }: ScriptKey): readonly string[] {
    return this.#doors.flatMap(({ port, name }) =>
      port.accountId === accountId && port.scriptName === scriptName && name !== null ? [name] : [],
    );
  }

  /** The TCP ports that are listened on. */
  listeners(): readonly { readonly host: string; readonly port: number }[] {
    return this.#doors.flatMap(({ port: { listen }, name }) => {
      if (name === null || "path" in listen) return [];
      return [{ host: listen.host, port: Number(new URL(name).port || 80) }];
    });
  }

  /** Those that answer at a port now, or drain. */
  generations(): readonly Generation[] {
    return this.#doors.flatMap((door) => door.generations());
  }

  /** Resolves once the ports of a script answer with what runs for it, or are refused. Never rejects. */
  async follow(key: ScriptKey, live: LiveScript | null): Promise<void> {
    const id = scriptId(key);
    const meant = this.#doors.filter(({ port }) => scriptId(port) === id);
    await Promise.all(meant.map((door) => door.follow(live)));
  }

  /** Access or client certificates of an account's hosts are others now. */
  async judge(accountId: string): Promise<void> {
    const meant = this.#doors.filter(({ port }) => port.accountId === accountId);
    await Promise.all(meant.map((door) => door.follow()));
  }

  async stop(grace: number): Promise<void> {
    await Promise.all(this.#doors.map((door) => door.stop(grace)));
  }
}

/** ms that a connection has for its first request. */
const FIRST_REQUEST = 1_000;

class Door {
  readonly port: WorkerPort;
  readonly #options: WorkerPortsOptions;
  #socket: HeldSocket | null = null;
  #live: LiveScript | null = null;
  /** What answers, and the routed generation that it is a copy of. */
  #current: { readonly generation: Generation; readonly of: Generation } | null = null;
  readonly #draining = new Set<Generation>();
  /** One change at a time. */
  #turn: Promise<void> = Promise.resolve();
  #isStopped = false;
  #refusal: string | null = null;

  constructor(port: WorkerPort, options: WorkerPortsOptions) {
    this.port = port;
    this.#options = options;
  }

  get name(): string | null {
    return this.#socket?.name ?? null;
  }

  async open(): Promise<void> {
    const { listen, scriptName } = this.port;
    try {
      this.#socket ??= await HeldSocket.open(listen);
    } catch (error) {
      if (error instanceof Failure) throw error;
      const cause = error as NodeJS.ErrnoException;
      if ("path" in listen && cause.code === "EADDRINUSE") {
        throw new Failure("worker_socket_taken", {
          message: `the Worker "${scriptName}" cannot listen at ${listen.path}: something else is there`,
          cause,
          facts: { script: scriptName, path: listen.path },
        });
      }
      const address = "path" in listen ? { host: listen.path, port: 0 } : listen;
      throw listenFailure(`the Worker "${scriptName}"`, address, cause);
    }
  }

  generations(): readonly Generation[] {
    return [...(this.#current === null ? [] : [this.#current.generation]), ...this.#draining];
  }

  follow(live = this.#live): Promise<void> {
    this.#live = live;
    this.#turn = this.#after(this.#turn);
    return this.#turn;
  }

  async #after(before: Promise<void>): Promise<void> {
    await before;
    if (this.#isStopped) return;
    try {
      await this.#apply();
    } catch (error) {
      const { scriptName, accountId } = this.port;
      const facts = { account: accountId, script: scriptName, port: this.name };
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ ...facts, reason }, "a Worker's own port is not as it should be");
    }
  }

  async #apply(): Promise<void> {
    const live = this.#live;
    const refusal = live === null ? null : await this.#refusedBy(live);
    if (live === null || refusal !== null) {
      this.#tell(refusal);
      const before = this.#current;
      this.#current = null;
      if (refusal !== null) {
        this.#socket?.close();
        this.#socket = null;
      }
      // What is refused must not answer any longer.
      await before?.generation.stop(refusal === null ? this.#options.drain : 0);
      return;
    }
    await this.open();
    this.#tell(null);
    const of = mainGeneration(live);
    const before = this.#current;
    if (before?.of === of) return;
    if (before === null) {
      const generation = await of.withListener(this.#socket!.fd);
      this.#current = { generation, of };
      await generation.startOrRetry();
      return;
    }
    const left = this.#socket!;
    const { listen } = this.port;
    const socket = "path" in listen ? await HeldSocket.forPath(listen.path) : left;
    let generation: Generation;
    try {
      generation = await of.withListener(socket.fd);
      await generation.start();
    } catch (error) {
      if (socket !== left) socket.close({ isReplaced: true });
      throw error;
    }
    if (socket !== left) socket.publish();
    this.#socket = socket;
    this.#current = { generation, of };
    this.#draining.add(before.generation);
    void this.#drain(before.generation, socket === left ? null : left);
  }

  /**
   * workerd that is to end closes connections of which it has no request yet. At a path it gets no
   * more of them by now, so those that it has are given time to send one. A port it still shares.
   */
  async #drain(generation: Generation, left: HeldSocket | null): Promise<void> {
    const { drain } = this.#options;
    generation.retire();
    if (left !== null) await delay(FIRST_REQUEST, undefined, { ref: false });
    await generation.stop(this.#isStopped ? 0 : drain);
    this.#draining.delete(generation);
    left?.close({ isReplaced: true });
  }

  async #refusedBy({ key, hosts, routes, shares }: LiveScript): Promise<string | null> {
    const { source } = this.#options;
    const { applications } = await source.access(key.accountId);
    const ofAccount = await source.hosts(key.accountId);
    return portRefusal({
      versions: shares.length,
      objects: shares.some(({ generation }) => generation.keepsObjects)
        ? "its Durable Objects"
        : null,
      reachedAt: [...hosts, ...routes],
      accessDomains: applications.flatMap(({ domains }) => domains),
      askingHosts: ofAccount.filter(({ clients }) => clients !== null).map(({ host }) => host),
    });
  }

  #tell(refusal: string | null): void {
    if (refusal === this.#refusal) return;
    this.#refusal = refusal;
    const { accountId, scriptName } = this.port;
    if (refusal === null) return;
    const failure = new Failure("worker_port_refused", {
      message: `the Worker "${scriptName}" gets no port of its own: ${refusal}`,
      facts: { script: scriptName, reason: refusal },
    });
    this.#options.log.error(
      { account: accountId, script: scriptName, code: failure.code },
      failure.message,
    );
  }

  async stop(grace: number): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.generations().map((generation) => generation.stop(grace)));
    await this.#turn;
    await Promise.all(this.generations().map((generation) => generation.stop(0)));
    this.#socket?.close();
    this.#socket = null;
  }
}
