import { lookup as systemLookup, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { Agent, buildConnector } from "undici";
import type { AddressPolicy } from "./addresses.ts";
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
  readonly #agent: Agent;

  constructor(options: OutboundOptions) {
    const { policy, resolve = systemResolve, authorities } = options;
    this.#options = options;
    const judges = { policy, resolve, authorities };
    this.#agent = new Agent({
      pipelining: 0,
      connect: (target, callback) => void connectJudged(target, judges, callback),
    });
  }

  /** The same, for servers of these CAs (PEM) alone. Whoever asks for it ends it. */
  trusting(authorities: string): Outbound {
    return new Outbound({ ...this.#options, authorities });
  }

  /** @throws Error, whose message is for the log alone: it tells what is listening where */
  async send(url: string, request: OutboundRequest): Promise<OutboundAnswer> {
    const { timeout = 10_000, maxBytes = 1 << 20, body = null, headers = {} } = request;
    const { origin, pathname, search } = new URL(url);
    const signals = request.signal === undefined ? [] : [request.signal];
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...signals]);
    const answer = await this.#agent.request({
      origin,
      path: pathname + search,
      method: request.method,
      headers,
      body,
      signal,
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

interface Judges {
  readonly policy: AddressPolicy;
  readonly resolve: (host: string) => Promise<readonly LookupAddress[]>;
  readonly authorities: string | undefined;
}

async function connectJudged(
  options: buildConnector.Options,
  judges: Judges,
  callback: buildConnector.Callback,
): Promise<void> {
  let addresses: readonly LookupAddress[];
  try {
    addresses = await judged(options, judges);
  } catch (error) {
    callback(error as Error, null);
    return;
  }
  connectorTo(addresses, judges)(options, callback);
}

/** The addresses that may be connected to. @throws Error saying why there is none */
async function judged(
  options: buildConnector.Options,
  { policy, resolve }: Judges,
): Promise<readonly LookupAddress[]> {
  const host = unbracketed(options.hostname);
  const inClear = options.protocol === "http:";
  const port = Number(options.port || (inClear ? 80 : 443));
  const family = isIP(host);
  const addresses = family === 0 ? await resolve(host) : [{ address: host, family }];
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

function connectorTo(
  addresses: readonly LookupAddress[],
  { authorities }: Judges,
): buildConnector.connector {
  return buildConnector({
    ...(authorities !== undefined && { ca: authorities }),
    timeout: 10_000,
    allowH2: false,
    maxCachedSessions: 0,
    // All of them are asked for, and tried in turn.
    autoSelectFamily: true,
    lookup: (_host, _options, callback) => callback(null, [...addresses]),
  });
}

const lookup = promisify(systemLookup);

function systemResolve(host: string): Promise<readonly LookupAddress[]> {
  return lookup(host, { all: true });
}
