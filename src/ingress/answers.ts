import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  forward,
  forwardTunnel,
  forwardUpgrade,
  wasNeverSent,
  type ForwardTarget,
} from "../forward/forward.ts";
import { guarded } from "../forward/guarded.ts";
import { responseOn } from "../forward/sockets.ts";
import { answerUnread } from "../forward/unread.ts";
import { InFlight } from "../forward/in-flight.ts";
import type { FailureCode } from "../failures/failures.ts";
import { newRay } from "../failures/rendered.ts";
import { noProxies, type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import { plainAddress } from "../network/ranges.ts";
import type { Challenges } from "./challenges.ts";
import type { Clients } from "./clients.ts";
import { type Hosts, plainName } from "./tls/hosts.ts";
import { KEYS_ONLY, type HowEnded, type WorkerShares } from "./protocol.ts";
import { decodeFor } from "./decode.ts";
import {
  afterStart,
  alone,
  answerElsewhere,
  type Arrival,
  type Elsewhere,
  type IncomingExchange,
  isStarting,
  type Starting,
} from "./elsewhere.ts";
import { RequestShares } from "./request-shares.ts";
import { refuse, unreadAnswer } from "./refuse.ts";
import { secureUrl } from "./redirect.ts";
import { whyFailed } from "./why-failed.ts";
import { INGRESS_HEADERS, ingressHeaders, requestTarget, schemeOf, whyUnfit } from "./request.ts";
import type { IngressObserver, Observed, Script } from "./observe.ts";
import type { Upstream } from "./upstream.ts";
import { permitsVersion, sayOfZone, setHeader, zoneHeaders, type Zones } from "./zones.ts";

export interface RequestFacts {
  /** Names the request. */
  readonly ray: string;
  /** Lower case, without port and trailing dot. */
  readonly host: string;
  /** With its query. */
  readonly path: string;
  /** `https://example.com:8443`, as the client wrote it. */
  readonly origin: string;
  /** The client's address. Null: not known. */
  readonly client: string | null;
  readonly request: IncomingMessage;
  /** What the client's certificate says of it, if it is good by one of these CAs (PEM). Null: nothing. */
  proves(authorities: readonly string[]): { readonly commonName: string } | null;
}

/** The Worker or origin that answers, or the reason why none does. */
export type Found =
  | FailureCode
  | {
      readonly kind: "upstream";
      readonly upstream: Upstream;
      /** Flat: name, value … to send besides. */
      readonly headers: readonly string[];
      readonly script: Script;
      /** An origin, and no Worker: `request.cf` is not for it. */
      readonly isOrigin: boolean;
    }
  | Extract<Elsewhere, { readonly kind: "answer" | "held" }>
  | Starting;

export interface AnswersOptions {
  readonly observer: IngressObserver;
  find(this: void, wanted: RequestFacts): Found;
  readonly hosts: Hosts;
  readonly zones: Zones;
  readonly clients: Clients;
  readonly challenges: Challenges;
  /** Has the process that listens at this socket just ended, and why? */
  howEnded(this: void, socket: string): Promise<HowEnded>;
}

/** Answers requests, in whatever way they came. */
export class Answers {
  readonly #options: AnswersOptions;
  readonly #inFlight = new InFlight();
  #proxies = new TrustedProxies(noProxies);
  /** Where TLS ends: at a proxy in front, unless it ends here. */
  #securePort = 443;
  #redirects = false;
  #shares = new RequestShares({
    workers: { requests: 0, body: 0 },
    ofClient: 0,
    proxies: this.#proxies,
  });

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** The proxies that are trusted to name the client; what each Worker and each client may take. */
  trust(options: ProxyOptions, workers: WorkerShares, ofClient: number): void {
    const proxies = new TrustedProxies(options);
    this.#proxies = proxies;
    this.#shares = new RequestShares({ workers, ofClient, proxies });
  }

  /** @param redirects plain requests of all hosts are sent there; otherwise of those whose zone wants it */
  secureAt(port: number, redirects: boolean): void {
    this.#securePort = port;
    this.#redirects = redirects;
  }

  answer(request: IncomingMessage, response: ServerResponse, arrival: Arrival): void {
    this.#inFlight.add(request, response);
    this.#answer(request, response, arrival);
  }

  #answer(request: IncomingMessage, response: ServerResponse, arrival: Arrival): void {
    const ray = newRay();
    alone({ request, response, ray }, () => {
      const target = this.#target(request, ray, arrival);
      const exchange = { request, response, ray };
      const refused = (code: FailureCode): void => this.#refusedHere(exchange, code, arrival);
      if (typeof target === "string") refused(target);
      else if (isStarting(target)) {
        const again = (): void => this.#answer(request, response, { ...arrival, hasWaited: true });
        void afterStart(target, request, { again, refused });
      } else if ("kind" in target) this.#elsewhere(exchange, target, arrival);
      else
        forward(request, response, {
          ...target,
          expectsContinue: arrival.expectsContinue === true,
        });
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, arrival: Arrival): void {
    socket.on("error", () => socket.destroy());
    this.#upgrade(request, socket, head, arrival);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, arrival: Arrival): void {
    const ray = newRay();
    guarded(socket, () => {
      const target = this.#target(request, ray, arrival);
      const exchange = (): IncomingExchange => ({
        request,
        response: responseOn(socket, request),
        ray,
      });
      const refused = (code: FailureCode): void => this.#refusedHere(exchange(), code, arrival);
      if (typeof target === "string") refused(target);
      else if (isStarting(target)) {
        const again = (): void =>
          this.#upgrade(request, socket, head, { ...arrival, hasWaited: true });
        void afterStart(target, request, { again, refused });
      } else if ("kind" in target) this.#elsewhere(exchange(), target, arrival);
      else forwardUpgrade(request, socket, head, target);
    })();
  }

  /** A WebSocket of HTTP/2: `tunnel` carries its bytes once the Worker has accepted. */
  tunnel(
    request: IncomingMessage,
    response: ServerResponse,
    tunnel: Duplex,
    arrival: Arrival,
  ): void {
    const ray = newRay();
    alone({ request, response, ray }, () => {
      const target = this.#target(request, ray, arrival);
      const exchange = { request, response, ray };
      const refused = (code: FailureCode): void => this.#refusedHere(exchange, code, arrival);
      if (typeof target === "string") refused(target);
      else if (isStarting(target)) {
        const again = (): void =>
          this.tunnel(request, response, tunnel, { ...arrival, hasWaited: true });
        void afterStart(target, request, { again, refused });
      } else if ("kind" in target) this.#elsewhere(exchange, target, arrival);
      else forwardTunnel(request, response, tunnel, target);
    });
  }

  /** What cannot be read as a request. */
  unread(error: Error, socket: Duplex): void {
    answerUnread(error, socket, this.#inFlight, unreadAnswer);
  }

  /** What is in flight is answered with a failure, or cut where its answer has begun. */
  abandon(): void {
    this.#inFlight.end((request, response) => {
      refuse(request, response, "edge_process_ended", newRay());
    });
  }

  #refusedHere(exchange: IncomingExchange, code: FailureCode, arrival: Arrival): void {
    const { request, response, ray } = exchange;
    this.#options.observer.metrics.refused(code);
    // A connection that is not this host's says nothing for it.
    if (code !== "host_misdirected") this.#sayOfZone(exchange, arrival);
    refuse(request, response, code, ray);
  }

  #elsewhere(exchange: IncomingExchange, target: Elsewhere, arrival: Arrival): void {
    this.#sayOfZone(exchange, arrival);
    void answerElsewhere(exchange, target);
  }

  #sayOfZone({ request, response }: IncomingExchange, { peer, tls }: Arrival): void {
    const wanted = requestTarget(request);
    if (wanted === null) return;
    const client = this.#proxies.client(peer, request.headers);
    const isSecure = schemeOf(client, tls) === "https";
    sayOfZone(response, this.#options.zones.find(wanted.host), isSecure);
  }

  #target(
    request: IncomingMessage,
    ray: string,
    { peer, tls, hasWaited }: Arrival,
  ): ForwardTarget | Elsewhere | Starting | FailureCode {
    const wanted = requestTarget(request);
    if (wanted === null) return "host_malformed";
    const unfit = whyUnfit(request, wanted);
    if (unfit !== null) return unfit;
    // An ACME server uses plain HTTP, because the host has no certificate yet, and presents no
    // client certificate.
    const proof = tls === null ? this.#options.challenges.answer(wanted.host, wanted.path) : null;
    if (proof !== null) return { kind: "proof", text: proof };
    const client = this.#proxies.client(peer, request.headers);
    // A Worker's process asks for the keys of Access. It gets these or nothing.
    const onlyKeys = KEYS_ONLY in request.headers;
    const zone = this.#options.zones.find(wanted.host);
    if (tls !== null) {
      // What was agreed on for one host says nothing of another.
      const serverName = tls.servername ? plainName(tls.servername) : null;
      if (!this.#options.hosts.isSame(serverName, wanted.host)) return "host_misdirected";
      // The connection is older than the setting, or was opened for another host. A new handshake
      // would be refused what the zone refuses.
      if (zone !== null && !permitsVersion(zone, tls.getProtocol())) return "host_misdirected";
    } else if (
      (this.#redirects || zone?.alwaysUseHttps === true) &&
      client.scheme !== "https" &&
      !onlyKeys
    ) {
      const url = secureUrl(wanted, this.#securePort);
      if (url !== null) return { kind: "redirect", to: url };
    }
    const judged = this.#options.clients.judge(tls, this.#options.hosts.find(wanted.host));
    if (judged.refusal !== null) return judged.refusal;
    const scheme = schemeOf(client, tls);
    const isSecure = scheme === "https";
    const found = this.#options.find({
      ray,
      host: wanted.host,
      path: wanted.path,
      origin: `${scheme}://${wanted.authority.toLowerCase()}`,
      client: client.address,
      request,
      proves: (authorities) => this.#options.clients.proves(tls, authorities),
    });
    // The process was stopped again meanwhile.
    if (typeof found === "object" && isStarting(found) && hasWaited) return "worker_unavailable";
    if (typeof found === "string" || found.kind !== "upstream") return found;
    const { upstream } = found;
    const url = `${scheme}://${wanted.authority}${wanted.path}`;
    const { observer } = this.#options;
    const asked = { ray, method: request.method ?? "", url };
    const { accountId, scriptName } = found.script;
    const running = observer.metrics.running(accountId, scriptName);
    const leave = this.#shares.enter(request, running, client.address);
    if (typeof leave === "string") {
      observer.refused(found.script, asked, leave);
      return leave;
    }
    const observed = observer.began(found.script, asked);
    upstream.began();
    return {
      dispatcher: upstream.dispatcher,
      path: wanted.path,
      host: wanted.authority,
      dropped: INGRESS_HEADERS,
      mayRetry: wasNeverSent,
      mostBody: this.#shares.mostBody,
      added: [
        ...ingressHeaders(request, {
          ray,
          peer: plainAddress(peer ?? ""),
          client,
          tls,
          judged,
          isOrigin: found.isOrigin,
        }),
        ...found.headers,
      ],
      answered: (status, headers, answered) => {
        observed.answered(status, headers);
        setHeader(headers, "cf-ray", ray);
        for (const added of zoneHeaders(zone, isSecure)) setHeader(headers, ...added);
        return decodeFor(answered, status, headers);
      },
      ended: () => {
        leave();
        upstream.finished();
        observed.ended();
      },
      failed: (error, failedRequest, response) => {
        leave();
        upstream.finished();
        sayOfZone(response, zone, isSecure);
        void this.#refuse(failedRequest, response, {
          error,
          upstream,
          ray,
          observed,
          isOrigin: found.isOrigin,
        });
      },
    };
  }

  async #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    { error, upstream, ray, observed, isOrigin }: FailedRequest,
  ): Promise<void> {
    const { howEnded } = this.#options;
    const code = isOrigin ? "gateway_unavailable" : await whyFailed(error, upstream, howEnded);
    observed.failed(code);
    observed.ended();
    if (!response.headersSent) refuse(request, response, code, ray);
  }
}

interface FailedRequest {
  readonly error: Error;
  readonly upstream: Upstream;
  readonly ray: string;
  readonly observed: Observed;
  readonly isOrigin: boolean;
}
