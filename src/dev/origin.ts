import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP, type AddressInfo, type Socket } from "node:net";
import type { SecureContextOptions, SecureVersion, TLSSocket } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import type { Duplex } from "node:stream";
import { guarded } from "../forward/guarded.ts";
import { closeSoon } from "../forward/sockets.ts";
import { Failure } from "../failures/failures.ts";
import { calledBy } from "../certificates/shown.ts";
import { temporaryAuthority, type DevAuthority } from "./authority.ts";
import { checkOptions, devOriginSchema, faultsSchema } from "./check-options.ts";
import { startFront, type Front } from "./front.ts";
import { clientOf, seeHead, seeWhole, type SeenRequest } from "./seen.ts";

/** A server that accepts only clients of the development CA, and answers with what it saw of them. */
export interface DevOrigin extends AsyncDisposable {
  /** `https://localhost:PORT` */
  readonly url: string;
  readonly port: number;
  /** Every accepted request, in order. */
  readonly requests: readonly SeenRequest[];
  /**
   * From now on, new connections meet these faults instead of the previous ones. Open connections are closed. `{}` ends
   * all faults.
   */
  fail(faults: OriginFaults): Promise<void>;
  /** From now on, its certificate is valid for these names as well. */
  answerFor(names: readonly string[]): Promise<void>;
}

/** Ways for an origin to fail. They can be combined. */
export interface OriginFaults {
  /** The server's certificate expired yesterday. */
  readonly expired?: boolean;
  /** The server's certificate is for `wrong.name.test`. */
  readonly wrongName?: boolean;
  /** The server's certificate is from a CA that nobody trusts. */
  readonly unknownCa?: boolean;
  /** Only clients of another CA are accepted, so none of this project. */
  readonly wantsAnotherCa?: boolean;
  /** TLS 1.2 at most. */
  readonly tls12Only?: boolean;
  /** Each request is answered by a TCP reset. */
  readonly resets?: boolean;
  /** Delay of each answer, ms. Default: 0. */
  readonly slow?: number;
}

export interface DevOriginOptions {
  readonly authority: DevAuthority;
  /** 0 to 65,535. Default: 0, a free port. */
  readonly port?: number | undefined;
  /** Address to listen on. Default: `127.0.0.1`. */
  readonly address?: string | undefined;
  /** Names and addresses that its certificate is valid for, besides localhost. Default: none. */
  readonly names?: readonly string[] | undefined;
  readonly faults?: OriginFaults | undefined;
  /**
   * A service behind the origin, which gets each request with the certificate in `Client-Cert` (RFC 9440). Default:
   * none; the origin answers itself.
   */
  readonly to?: URL | undefined;
  /** Called with each accepted request. */
  readonly onRequest?: ((seen: SeenRequest) => void) | undefined;
  /** Called with a sentence for each client that was refused. */
  readonly onRefused?: ((why: string) => void) | undefined;
}

/** @throws Failure `dev_port_in_use` */
export async function startDevOrigin(options: DevOriginOptions): Promise<DevOrigin> {
  const origin = new Origin(options);
  await origin.listen();
  return origin;
}

class Origin implements DevOrigin {
  readonly requests: SeenRequest[] = [];
  readonly #options: DevOriginOptions;
  readonly #server: Server;
  readonly #front: Front | null;
  /** TCP sockets, by the client's port. */
  readonly #sockets = new Map<number, Socket>();
  readonly #names: Set<string>;
  #faults: OriginFaults;

  constructor(options: DevOriginOptions) {
    checkOptions("the origin's options:", devOriginSchema, options);
    this.#options = options;
    this.#names = new Set(options.names);
    this.#faults = options.faults ?? {};
    this.#front = options.to ? startFront(options.to) : null;
    this.#server = createServer({ requestCert: true, rejectUnauthorized: true });
    this.#server.on("request", (request, response) => void this.#answer(request, response));
    this.#server.on("upgrade", (request, socket, head) =>
      guarded(socket, () => this.#upgrade(request, socket, head))(),
    );
    this.#server.on("connection", (socket: Socket) => this.#follow(socket));
    this.#server.on("tlsClientError", (error, socket) =>
      guarded(socket, () => this.#refused(error, socket))(),
    );
  }

  async listen(): Promise<void> {
    await this.#useFaults();
    const { port = 0, address = "127.0.0.1" } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error) => reject(listenFailure(error, port)));
      this.#server.listen(port, address, resolve);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `https://localhost:${this.port}`;
  }

  async answerFor(names: readonly string[]): Promise<void> {
    if (names.every((name) => this.#names.has(name))) return;
    for (const name of names) this.#names.add(name);
    await this.#useFaults();
  }

  async fail(faults: OriginFaults): Promise<void> {
    checkOptions("origin.fail()", faultsSchema, faults);
    this.#faults = faults;
    await this.#useFaults();
    this.#cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#cut();
    await closed;
    await this.#front?.[Symbol.asyncDispose]();
  }

  async #useFaults(): Promise<void> {
    this.#server.setSecureContext(
      await secureContext({ ...this.#options, names: [...this.#names] }, this.#faults),
    );
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#faults.resets) {
      // Only the TCP socket can be reset; the request has the TLS socket on top of it.
      this.#sockets.get(request.socket.remotePort ?? 0)?.resetAndDestroy();
      return;
    }
    try {
      if (this.#front) {
        this.#saw(seeHead(request));
        await this.#wait();
        this.#front.request(request, response);
      } else {
        const seen = this.#saw(await seeWhole(request));
        await this.#wait();
        response.setHeader("content-type", "application/json");
        response.end(`${JSON.stringify(seen, null, 2)}\n`);
      }
    } catch {
      // The client went away before it had sent the whole request.
      response.destroy();
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#front) {
      this.#saw(seeHead(request));
      this.#front.upgrade(request, socket, head);
    } else {
      socket.write("HTTP/1.1 501 Not Implemented\r\nconnection: close\r\n\r\n");
      closeSoon(socket);
    }
  }

  #saw(seen: SeenRequest): SeenRequest {
    this.requests.push(seen);
    this.#options.onRequest?.(seen);
    return seen;
  }

  #refused(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const client = clientOf(socket);
    const who = client ? `a client with the certificate ${calledBy(client)}` : "a client";
    const why = socket.authorizationError ?? error.code ?? error.message;
    this.#options.onRefused?.(`${who} was not let in: ${String(why)}`);
    socket.destroy();
  }

  async #wait(): Promise<void> {
    await delay(this.#faults.slow ?? 0);
  }

  #follow(socket: Socket): void {
    const { remotePort = 0 } = socket;
    this.#sockets.set(remotePort, socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#sockets.delete(remotePort));
  }

  #cut(): void {
    for (const socket of this.#sockets.values()) {
      socket.destroy();
    }
  }
}

async function secureContext(
  { authority, names = [] }: DevOriginOptions,
  faults: OriginFaults,
): Promise<SecureContextOptions> {
  const day = 24 * 3_600_000;
  const all = faults.wrongName ? ["wrong.name.test"] : ["localhost", "127.0.0.1", "::1", ...names];
  const issuer = faults.unknownCa ? await temporaryAuthority() : authority;
  const leaf = await issuer.issue({
    subject: "CN=Countersign development origin",
    dns: all.filter((name) => isIP(name) === 0),
    ips: all.filter((name) => isIP(name) !== 0),
    ...(faults.expired
      ? { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) }
      : {}),
  });
  return {
    cert: leaf.cert,
    key: leaf.key,
    ca: faults.wantsAnotherCa ? (await temporaryAuthority()).ca : authority.ca,
    ...(faults.tls12Only ? { maxVersion: "TLSv1.2" satisfies SecureVersion } : {}),
  };
}

function listenFailure(error: NodeJS.ErrnoException, port: number): Error {
  if (error.code !== "EADDRINUSE" && error.code !== "EACCES") {
    return error;
  }
  return new Failure("dev_port_in_use", {
    message: `listening on port ${port} failed: ${error.code}`,
    facts: { port },
    cause: error,
  });
}
