import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Logger } from "pino";
import type { ScriptKey } from "../../contract/change-feed.ts";
import type { Edge } from "../../contract/edge.ts";
import type {
  Journal,
  Tail,
  TailFilter,
  TailRequest,
  TailService,
} from "../../contract/journal.ts";
import { keyIn } from "../../contract/key-in.ts";
import type { LogEntry } from "../../contract/worker-log.ts";
import { Failure } from "../../failures/failures.ts";
import { passes } from "./tail-filters.ts";

/** The reader of a tail. */
export interface TailSink {
  /** False: the reader is too slow, and the entry is lost. */
  send(text: string): boolean;
  close(): void;
}

export interface TailsOptions {
  readonly edge: Pick<Edge, "follow">;
  readonly journal: Journal;
  readonly clock: () => Date;
  /** `ws://127.0.0.1:4400/client/v4` */
  readonly url: () => string;
  readonly log: Logger;
}

interface Session extends Tail {
  readonly key: ScriptKey;
  readonly secret: Buffer;
  readonly filters: readonly TailFilter[];
  /** The address of the client that made it. */
  readonly address: string | null;
  readonly end: NodeJS.Timeout;
  sink: TailSink | null;
  stopListening: (() => void) | null;
}

/**
 * The readers of Workers' live logs. A Worker reports its calls only while somebody reads, or while its settings ask
 * for stored logs.
 */
export class Tails implements TailService, Disposable {
  readonly #options: TailsOptions;
  readonly #sessions = new Map<string, Session>();
  /** Scripts that are followed, and the timer that ends it unless it is renewed. */
  readonly #leases = new Map<string, { readonly key: ScriptKey; timer: NodeJS.Timeout | null }>();

  constructor(options: TailsOptions) {
    this.#options = options;
  }

  /** On return the Worker reports its calls. @throws Failure `tail_limit` */
  async create(key: ScriptKey, { filters, address }: TailRequest): Promise<Tail> {
    if (this.list(key).length >= MOST_OF_A_WORKER) {
      throw new Failure("tail_limit", {
        message: `${MOST_OF_A_WORKER} people read the log of "${key.scriptName}" already`,
      });
    }
    const id = randomBytes(16).toString("hex");
    const secret = randomBytes(32);
    const path = `/accounts/${key.accountId}/workers/scripts/${key.scriptName}/tails/${id}/socket`;
    const session: Session = {
      id,
      url: `${this.#options.url()}${path}?key=${secret.toString("hex")}`,
      expiresAt: new Date(this.#options.clock().getTime() + LIFE),
      key,
      secret,
      filters,
      address,
      // A tail that nobody connects to is removed.
      end: setTimeout(() => {
        if (session.sink === null) this.#close(session);
      }, UNCONNECTED).unref(),
      sink: null,
      stopListening: null,
    };
    this.#sessions.set(id, session);
    await this.#follow(key);
    return session;
  }

  list({ accountId, scriptName }: ScriptKey): readonly Tail[] {
    return [...this.#sessions.values()].filter(
      ({ key }) => key.accountId === accountId && key.scriptName === scriptName,
    );
  }

  /** @throws Failure `tail_not_found` */
  delete(key: ScriptKey, id: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined || idOf(session.key) !== idOf(key)) {
      throw new Failure("tail_not_found", {
        message: `the Worker "${key.scriptName}" has no tail "${id.slice(0, 100)}"`,
      });
    }
    this.#close(session);
  }

  /**
   * @param key from the URL
   * @returns the tail's side of the connection. Null: there is no such tail, or it has a reader already.
   */
  connect(id: string, key: string, sink: TailSink): TailReader | null {
    const session = this.#sessions.get(id);
    const given = Buffer.from(key, "hex");
    if (session === undefined || session.sink !== null || given.length !== session.secret.length) {
      return null;
    }
    if (!timingSafeEqual(given, session.secret)) return null;
    session.sink = sink;
    clearTimeout(session.end);
    const left = session.expiresAt.getTime() - this.#options.clock().getTime();
    const timer = setTimeout(() => this.#close(session), left).unref();
    let isUnfiltered = false;
    let lost = 0;
    session.stopListening = this.#options.journal.listen(session.key, (entry) => {
      if (!isUnfiltered && !passes(entry, session.filters, session.address)) return;
      if (!sink.send(JSON.stringify(entry))) lost += 1;
      else if (lost > 0) {
        sink.send(JSON.stringify(overload(entry.scriptName, lost)));
        lost = 0;
      }
    });
    return {
      debug: () => (isUnfiltered = true),
      closed: () => {
        clearTimeout(timer);
        session.sink = null;
        this.#close(session);
      },
    };
  }

  /** The Worker reports its calls for a while. A reader that continues calls this again. */
  async follow(key: ScriptKey): Promise<void> {
    this.#options.journal.keepAll(key, LEASE);
    await this.#follow(key);
    this.#release(key, LEASE);
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) this.#close(session);
    for (const { timer } of this.#leases.values()) clearTimeout(timer ?? undefined);
  }

  #close(session: Session): void {
    if (!this.#sessions.delete(session.id)) return;
    clearTimeout(session.end);
    session.stopListening?.();
    session.sink?.close();
    this.#release(session.key, LINGER);
  }

  async #follow(key: ScriptKey): Promise<void> {
    const id = idOf(key);
    const lease = this.#leases.get(id);
    if (lease?.timer) clearTimeout(lease.timer);
    this.#leases.set(id, { key, timer: null });
    await this.#options.edge.follow(key, true);
  }

  /** If nobody has renewed it for `ms`, and there is no tail, the Worker stops reporting. */
  #release(key: ScriptKey, ms: number): void {
    const id = idOf(key);
    const lease = this.#leases.get(id);
    if (lease === undefined || this.list(key).length > 0) return;
    clearTimeout(lease.timer ?? undefined);
    lease.timer = setTimeout(() => {
      this.#leases.delete(id);
      this.#options.edge.follow(key, false).catch((error: unknown) => {
        this.#options.log.error({ err: error, ...key }, "a Worker goes on telling of its calls");
      });
    }, ms).unref();
  }
}

export interface TailReader {
  /** The reader wants all entries. */
  debug(): void;
  /** The reader has gone. */
  closed(): void;
}

/** wrangler's form for a message that is not an entry. */
function overload(scriptName: string, lost: number): Partial<LogEntry> {
  const message = `${lost} entries were left out: they were read too slowly`;
  const now = Date.now();
  const event = { type: "overload", message };
  return { scriptName, outcome: "ok", eventTimestamp: now, event, logs: [], exceptions: [] };
}

function idOf({ accountId, scriptName }: ScriptKey): string {
  return keyIn(accountId, scriptName);
}

/** As at Cloudflare: ten for each Worker, for six hours. */
const MOST_OF_A_WORKER = 10;
const LIFE = 6 * 3_600_000;
/** ms */
const UNCONNECTED = 60_000;
const LEASE = 15_000;
/** ms. A reader that comes back right away needs no new process. */
const LINGER = 5_000;
