import { lookup as systemLookup, type LookupAddress } from "node:dns";
import { isIP, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import type { buildConnector } from "undici";
import { Agent, makeConnector } from "../forward/undici.ts";
import type { AddressPolicy } from "./addresses.ts";
import { Lookups, type LookupShares } from "./lookups.ts";
import { TlsFloods } from "./tls-floods.ts";
import { unbracketed } from "./unbracketed.ts";

export interface OutboundOptions {
  readonly policy: AddressPolicy;
  /** All addresses of a name. Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>;
  /** CAs (PEM) that alone verify servers. Default: the public ones. */
  readonly authorities?: string;
}

export interface OutboundRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** ms for all of it. Default: 10,000. */
  readonly timeout?: number;
  /** Longest body of an answer, in bytes. Default: 1 MiB. */
  readonly maxBytes?: number;
  /** Ends it before its time. */
  readonly signal?: AbortSignal;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/**
 * The platform's own requests to URLs that others chose: webhooks, revocation lists, ACME. They go
 * where bindings may go. A name is resolved once, judged, and what was judged is connected to.
 * `http://` goes only to addresses that an option names (`--origin-allow`, `--dev`), redirects
 * are not followed, and no connection is kept.
 */
export class Outbound implements AsyncDisposable {
  readonly #options: OutboundOptions;
  readonly #lookups: Lookups;
  readonly #account: string;
  readonly #sending: Sending;

  /** @param shared with what this one comes of */
  constructor(options: OutboundOptions, shared: Partial<Shared> = {}) {
    this.#options = options;
    this.#lookups = shared.lookups ?? new Lookups(options.resolve ?? systemResolve, SHARES);
    this.#account = shared.account ?? "";
    this.#sending = shared.sending ?? {
      agents: new Set(),
      floods: new TlsFloods(),
      hasEnded: false,
    };
  }

  /** The same, for URLs that this account chose: slow names of one delay no other's. It ends with this one. */
  of(account: string): Outbound {
    return new Outbound(this.#options, {
      lookups: this.#lookups,
      sending: this.#sending,
      account,
    });
  }

  /** The same, for servers of these CAs (PEM) alone. The caller ends it. */
  trusting(authorities: string): Outbound {
    const [lookups, account] = [this.#lookups, this.#account];
    return new Outbound({ ...this.#options, authorities }, { lookups, account });
  }

  /** @throws Error, whose message is for the log alone: it tells what is listening where */
  async send(url: string, request: OutboundRequest): Promise<OutboundAnswer> {
    const { timeout = 10_000, maxBytes = 1 << 20, body = null, headers = {} } = request;
    const target = new URL(url);
    const signals = request.signal === undefined ? [] : [request.signal];
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...signals]);
    const addresses = await this.#judged(target, signal);
    const { agents, floods, hasEnded } = this.#sending;
    let wire: Socket | null = null;
    const connect = connectorTo(addresses, this.#options, (socket) => {
      wire = socket;
      // Node leaves it open when a record cannot be decrypted.
      socket.on("error", () => socket.destroy());
      if (socket instanceof TLSSocket) floods.watch(socket);
    });
    const agent = new Agent({ pipelining: 0, connect });
    if (hasEnded) await agent.destroy();
    agents.add(agent);
    // A server can also keep us busy with what is no body: informational responses, blank lines.
    const look = setInterval(() => {
      const { bytesRead = 0 } = wire ?? {};
      if (bytesRead > 2 * maxBytes + HEAD) void agent.destroy(tooLong(maxBytes));
    }, LOOK);
    try {
      const answer = await agent.request({
        origin: target.origin,
        path: target.pathname + target.search,
        method: request.method,
        headers,
        body,
        signal,
      });
      const { statusCode: status, headers: fields } = answer;
      const whole = await wholeOf(answer.body as AsyncIterable<Buffer>, maxBytes);
      return { status, headers: fields, body: whole };
    } finally {
      clearInterval(look);
      agents.delete(agent);
      await agent.destroy();
    }
  }

  /** The addresses that may be connected to. @throws Error saying why there is none */
  async #judged(
    { hostname, port: written, protocol }: URL,
    signal: AbortSignal,
  ): Promise<readonly LookupAddress[]> {
    const { policy } = this.#options;
    const host = unbracketed(hostname);
    const inClear = protocol === "http:";
    const port = Number(written || (inClear ? 80 : 443));
    const family = isIP(host);
    const addresses = family === 0 ? await this.#find(host, signal) : [{ address: host, family }];
    let why = "it has no address";
    const kept = addresses.filter(({ address }) => {
      const refused = policy.refuses(address, port);
      if (refused === null && (!inClear || policy.isNamed(address))) return true;
      why = refused ?? "http:// goes only to addresses that --origin-allow names";
      return false;
    });
    if (kept.length > 0) return kept;
    throw new Error(`${host} port ${port} is not connected to: ${why}`);
  }

  /** The system's resolver takes no signal: it goes on, and nobody waits. */
  #find(host: string, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly LookupAddress[]>();
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    this.#lookups.of({ account: this.#account })(host, signal).then(resolve, reject);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sending.hasEnded = true;
    await Promise.all([...this.#sending.agents].map((agent) => agent.destroy()));
  }
}

/** In one piece: a body whose every byte came by itself would take a hundred times its memory. */
async function wholeOf(chunks: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  let whole = Buffer.alloc(0);
  let length = 0;
  for await (const chunk of chunks) {
    if (length + chunk.length > maxBytes) throw tooLong(maxBytes);
    if (length + chunk.length > whole.length) {
      const larger = Buffer.alloc(Math.max(2 * whole.length, length + chunk.length));
      whole.copy(larger, 0, 0, length);
      whole = larger;
    }
    length += chunk.copy(whole, length);
  }
  return whole.subarray(0, length);
}

function tooLong(maxBytes: number): Error {
  return new Error(`the answer is longer than ${maxBytes} bytes`);
}

/** ms */
const LOOK = 100;
/** Bytes that a response may have besides its body. */
const HEAD = 65_536;

interface Shared {
  readonly lookups: Lookups;
  readonly account: string;
  readonly sending: Sending;
}

interface Sending {
  readonly agents: Set<Agent>;
  readonly floods: TlsFloods;
  hasEnded: boolean;
}

/** `widenThreadPool` gives the process 64 threads; at most 32 of them look names up. */
const SHARES: LookupShares = { binding: 1, worker: 1, account: 1, all: 28 };

function connectorTo(
  addresses: readonly LookupAddress[],
  { authorities }: OutboundOptions,
  connected: (socket: Socket) => void,
): buildConnector.connector {
  const connect = makeConnector({
    ...(authorities !== undefined && { ca: authorities }),
    timeout: 10_000,
    allowH2: false,
    maxCachedSessions: 0,
    // All of them are asked for, and tried in turn.
    autoSelectFamily: true,
    lookup: (_host, _options, callback) => callback(null, [...addresses]),
  });
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0] === null) connected(result[1]);
      callback(...result);
    });
}

const lookup = promisify(systemLookup);

function systemResolve(host: string): Promise<readonly LookupAddress[]> {
  return lookup(host, { all: true });
}
