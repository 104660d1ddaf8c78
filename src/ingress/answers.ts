import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import {
  forward,
  forwardTunnel,
  forwardUpgrade,
  wasNeverSent,
  type ForwardTarget,
} from "../forward/forward.ts";
import { headerSize, isHeaderOverflow, MOST_HEADERS, MOST_URL } from "../forward/limits.ts";
import { responseOn } from "../forward/sockets.ts";
import { InFlight } from "../forward/in-flight.ts";
import type { FailureCode } from "../failures/failures.ts";
import { newRay } from "../failures/rendered.ts";
import { noProxies, type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import { plainAddress } from "../network/ranges.ts";
import type { Clients } from "./clients.ts";
import { type Hosts, plainName } from "./hosts.ts";
import type { HowEnded } from "./protocol.ts";
import { refuse } from "./refuse.ts";
import { redirect, secureUrl } from "./redirect.ts";
import { INGRESS_HEADERS, ingressHeaders, requestTarget } from "./request.ts";
import type { Upstream } from "./upstream.ts";

/** Finds who answers, or why nobody does. */
export type FindUpstream = (
  host: string,
  path: string,
  request: IncomingMessage,
) => Upstream | FailureCode;

/** How a request came. */
export interface Arrival {
  /** The other end of the connection, or what a trusted proxy said of it. */
  readonly peer: string | undefined;
  /** Null: plain HTTP. */
  readonly tls: TLSSocket | null;
  /** The client waits for leave to send its body. */
  readonly expectsContinue?: boolean;
}

export interface AnswersOptions {
  readonly find: FindUpstream;
  readonly hosts: Hosts;
  readonly clients: Clients;
  /** Has the process that listens at this socket just ended, and why? */
  howEnded(this: void, socket: string): Promise<HowEnded>;
}

/** Answers requests, in whatever way they came. */
export class Answers {
  readonly #options: AnswersOptions;
  readonly #inFlight = new InFlight();
  #proxies = new TrustedProxies(noProxies);
  #redirectTo: number | null = null;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** Whose word about clients counts. */
  trust(options: ProxyOptions): void {
    this.#proxies = new TrustedProxies(options);
  }

  /** Plain requests are sent to this port, where TLS is spoken. */
  redirectTo(port: number): void {
    this.#redirectTo = port;
  }

  answer(request: IncomingMessage, response: ServerResponse, arrival: Arrival): void {
    const ray = newRay();
    this.#inFlight.add(request, response);
    const target = this.#target(request, ray, arrival);
    if (typeof target === "string") refuse(request, response, target, ray);
    else if (target instanceof URL) redirect(request, response, target, ray);
    else
      forward(request, response, { ...target, expectsContinue: arrival.expectsContinue === true });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, arrival: Arrival): void {
    const ray = newRay();
    const target = this.#target(request, ray, arrival);
    if (typeof target === "string") refuse(request, responseOn(socket, request), target, ray);
    else if (target instanceof URL) redirect(request, responseOn(socket, request), target, ray);
    else forwardUpgrade(request, socket, head, target);
  }

  /** A WebSocket of HTTP/2: `tunnel` carries its bytes once the Worker has accepted. */
  tunnel(
    request: IncomingMessage,
    response: ServerResponse,
    tunnel: Duplex,
    arrival: Arrival,
  ): void {
    const ray = newRay();
    const target = this.#target(request, ray, arrival);
    if (typeof target === "string") refuse(request, response, target, ray);
    else if (!(target instanceof URL)) forwardTunnel(request, response, tunnel, target);
  }

  /** What is in flight is answered with a failure, or cut where its answer has begun. */
  abandon(): void {
    this.#inFlight.end((request, response) => {
      refuse(request, response, "edge_process_ended", newRay());
    });
  }

  #target(
    request: IncomingMessage,
    ray: string,
    { peer, tls }: Arrival,
  ): ForwardTarget | URL | FailureCode {
    const wanted = requestTarget(request);
    if (wanted === null) return "host_malformed";
    if (wanted.path.length > MOST_URL) return "url_too_long";
    if (headerSize(request.rawHeaders) > MOST_HEADERS) return "headers_too_large";
    const client = this.#proxies.client(peer, request.headers);
    if (tls !== null) {
      // What was agreed on for one host says nothing of another.
      const serverName = tls.servername ? plainName(tls.servername) : null;
      if (!this.#options.hosts.isSame(serverName, wanted.host)) return "host_misdirected";
    } else if (this.#redirectTo !== null && client.scheme !== "https") {
      const url = secureUrl(wanted, this.#redirectTo);
      if (url !== null) return url;
    }
    const judged = this.#options.clients.judge(tls, this.#options.hosts.find(wanted.host));
    if (judged.refusal !== null) return judged.refusal;
    const upstream = this.#options.find(wanted.host, wanted.path, request);
    if (typeof upstream === "string") return upstream;
    upstream.began();
    return {
      dispatcher: upstream.dispatcher,
      path: wanted.path,
      host: wanted.authority,
      dropped: INGRESS_HEADERS,
      mayRetry: wasNeverSent,
      added: ingressHeaders(request, { ray, peer: plainAddress(peer ?? ""), client, tls, judged }),
      answered: (_, headers) => setHeader(headers, "cf-ray", ray),
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
    if (!wasSent(error)) return "worker_unavailable";
    if (isHeaderOverflow(error)) return "worker_headers_too_large";
    return CODES[await this.#options.howEnded(socket)];
  }
}

const CODES: Readonly<Record<HowEnded, FailureCode>> = {
  "over-limit": "worker_limits_exceeded",
  ended: "worker_connection_lost",
  runs: "worker_connection_closed",
};

interface FailedRequest {
  readonly error: Error;
  readonly upstream: Upstream;
  readonly ray: string;
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
