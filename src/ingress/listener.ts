import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { forward, forwardUpgrade, wasNeverSent, type ForwardTarget } from "../forward/forward.ts";
import {
  HEADER_BUFFER,
  headerSize,
  isHeaderOverflow,
  MOST_HEADERS,
  MOST_URL,
} from "../forward/limits.ts";
import { responseOn } from "../forward/sockets.ts";
import { answerUnread } from "../forward/unread.ts";
import { InFlight } from "../forward/in-flight.ts";
import type { FailureCode } from "../failures/failures.ts";
import { listenFailure } from "../network/listen-failure.ts";
import { acceptProxyProtocol, type PeerOf } from "../network/connection-sources.ts";
import { noProxies, type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import { plainAddress } from "../network/ranges.ts";
import type { HowEnded } from "./protocol.ts";
import { decodeFor } from "./decode.ts";
import { refuse, unreadAnswer } from "./refuse.ts";
import { newRay } from "../failures/rendered.ts";
import { INGRESS_HEADERS, ingressHeaders, requestTarget } from "./request.ts";
import type { Upstream } from "./upstream.ts";

export interface Wanted {
  /** Lower case, without port and trailing dot. */
  readonly host: string;
  /** With its query. */
  readonly path: string;
  /** `https://example.com:8443`, as the client wrote it. */
  readonly origin: string;
  /** The client's address. Null: not known. */
  readonly client: string | null;
  readonly request: IncomingMessage;
}

/** Who answers, or why nobody does. */
export type Found =
  | FailureCode
  | {
      readonly kind: "upstream";
      readonly upstream: Upstream;
      /** Flat: name, value … to send besides. */
      readonly headers: readonly string[];
    }
  /** Answered here, to anybody. */
  | { readonly kind: "answer"; readonly json: string }
  /** Refused, later. */
  | { readonly kind: "held"; readonly code: Promise<FailureCode> };

type Elsewhere = Exclude<Found, FailureCode | { readonly kind: "upstream" }>;

/** The HTTP server that clients reach. */
export class Listener {
  readonly #server: Server;
  readonly #find: (wanted: Wanted) => Found;
  readonly #howEnded: (socket: string) => Promise<HowEnded>;
  #proxies = new TrustedProxies(noProxies);
  #peerOf: PeerOf = ({ socket }) => socket.remoteAddress;
  readonly #inFlight = new InFlight();

  /** @param howEnded has the process that listens at this socket just ended? */
  constructor(find: (wanted: Wanted) => Found, howEnded: (socket: string) => Promise<HowEnded>) {
    this.#find = find;
    this.#howEnded = howEnded;
    this.#server = createServer({
      maxHeaderSize: HEADER_BUFFER,
      insecureHTTPParser: false,
      // Node's own answer would be an empty one.
      requireHostHeader: false,
      // Other protocols that a client offers, as curl does HTTP/2, may be ignored.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
    });
    // A Worker may take in an upload, or stream an answer, for as long as it likes.
    this.#server.requestTimeout = 0;
    // Those beyond Node's 2,000 would be dropped without a word: their size is what is limited.
    this.#server.maxHeadersCount = 0;
    this.#server
      .on("request", (request, response) => this.#answer(request, response, false))
      .on("checkContinue", (request, response) => this.#answer(request, response, true))
      // An expectation that is not known may be passed over (RFC 9110, section 10.1.1).
      .on("checkExpectation", (request, response) => this.#answer(request, response, false))
      .on("connect", (request: IncomingMessage, socket: Duplex) => {
        refuse(request, responseOn(socket, request), "request_malformed", newRay());
      })
      .on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head))
      .on("clientError", (error, socket) => {
        answerUnread(error, socket, this.#inFlight, unreadAnswer);
      });
  }

  /** Whose word about clients counts, before it listens. */
  trust(options: ProxyOptions): void {
    this.#proxies = new TrustedProxies(options);
    if (options.trusted.length > 0) this.#peerOf = acceptProxyProtocol(this.#server, this.#proxies);
  }

  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error): void =>
        reject(listenFailure("the ingress", { host, port }, cause));
      this.#server.once("error", failed);
      this.#server.listen({ host, port }, () => {
        this.#server.off("error", failed);
        // Of accepting, as when there are no files left: the next connection may be accepted.
        this.#server.on("error", () => {});
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Accepts nothing new; resolves when the last request has ended. */
  async drain(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // A connection is idle again after its last response: those that are by now go with it.
    const sweep = setInterval(() => this.#server.closeIdleConnections(), 50);
    await closed;
    clearInterval(sweep);
  }

  /** What is in flight is answered with a failure, or cut where its answer has begun. */
  abandon(): void {
    this.#inFlight.end((request, response) => {
      refuse(request, response, "edge_process_ended", newRay());
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const ray = newRay();
    this.#inFlight.add(request, response);
    const target = this.#target(request, ray);
    if (typeof target === "string") refuse(request, response, target, ray);
    else if ("kind" in target) void answerHere(request, response, target, ray);
    else forward(request, response, { ...target, expectsContinue });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const ray = newRay();
    const target = this.#target(request, ray);
    if (typeof target === "string") refuse(request, responseOn(socket, request), target, ray);
    else if ("kind" in target) void answerHere(request, responseOn(socket, request), target, ray);
    else forwardUpgrade(request, socket, head, target);
  }

  #target(request: IncomingMessage, ray: string): ForwardTarget | Elsewhere | FailureCode {
    const wanted = requestTarget(request);
    if (wanted === null) return "host_malformed";
    if (wanted.path.length > MOST_URL) return "url_too_long";
    if (headerSize(request.rawHeaders) > MOST_HEADERS) return "headers_too_large";
    const peer = this.#peerOf(request);
    const client = this.#proxies.client(peer, request.headers);
    const found = this.#find({
      host: wanted.host,
      path: wanted.path,
      origin: `${client.scheme ?? "http"}://${wanted.authority.toLowerCase()}`,
      client: client.address,
      request,
    });
    if (typeof found === "string" || found.kind !== "upstream") return found;
    const { upstream } = found;
    upstream.began();
    return {
      dispatcher: upstream.dispatcher,
      path: wanted.path,
      host: wanted.authority,
      dropped: INGRESS_HEADERS,
      mayRetry: wasNeverSent,
      added: [
        ...ingressHeaders(request, { ray, peer: plainAddress(peer ?? ""), client }),
        ...found.headers,
      ],
      answered: (status, headers, answered) => {
        setHeader(headers, "cf-ray", ray);
        return decodeFor(answered, status, headers);
      },
      ended: () => upstream.finished(),
      failed: (error, failedRequest, response) => {
        upstream.finished();
        void this.#refuse(failedRequest, response, { error, upstream, ray });
      },
    };
  }

  async #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    { error, upstream, ray }: FailedRequest,
  ): Promise<void> {
    const code = await this.#whyFailed(error, upstream);
    if (!response.headersSent) refuse(request, response, code, ray);
  }

  async #whyFailed(error: Error, { socket }: Upstream): Promise<FailureCode> {
    if (isOutOfFiles(error)) return "machine_files_exhausted";
    if (!wasSent(error)) return "worker_unavailable";
    if (isHeaderOverflow(error)) return "worker_headers_too_large";
    return CODES[await this.#howEnded(socket)];
  }
}

const CODES: Readonly<Record<HowEnded, FailureCode>> = {
  "over-limit": "worker_limits_exceeded",
  ended: "worker_connection_lost",
  runs: "worker_connection_closed",
};

/** What no Worker has a part in. */
async function answerHere(
  request: IncomingMessage,
  response: ServerResponse,
  target: Elsewhere,
  ray: string,
): Promise<void> {
  if (target.kind === "held") {
    const code = await target.code;
    if (!response.destroyed && !response.headersSent) refuse(request, response, code, ray);
    return;
  }
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(target.json),
    "access-control-allow-origin": "*",
    "cache-control": "public, max-age=60",
    "cf-ray": ray,
  });
  response.end(request.method === "HEAD" ? undefined : target.json);
}

interface FailedRequest {
  readonly error: Error;
  readonly upstream: Upstream;
  readonly ray: string;
}

function isOutOfFiles(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}

/** An error of connecting: nothing of the request has reached the Worker. */
function wasSent(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall !== "connect" && code !== "UND_ERR_CONNECT_TIMEOUT" && code !== "UND_ERR_CLOSED";
}

/** @param headers flat: name, value … */
function setHeader(headers: string[], name: string, value: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]!.toLowerCase() === name) headers.splice(i, 2);
  }
  headers.push(name, value);
}
