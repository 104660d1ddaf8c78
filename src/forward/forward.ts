import {
  STATUS_CODES,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import { Upload } from "./body.ts";
import { requestHead, responseHeaders, type HeaderNames } from "./headers.ts";
import { responseOn, splice } from "./sockets.ts";

/** Where one request goes. One object a request: it may keep what the caller wants to remember. */
export interface ForwardTarget {
  /** A dispatcher of one origin (undici's `Pool` or `Client`). Read again for each attempt. */
  readonly dispatcher: Dispatcher;
  /** Path and query, beginning with a slash. */
  readonly path: string;
  /** The `Host` to send. Null: the dispatcher's own. Undefined: the one that came. */
  readonly host?: string | null;
  /** Lower-case names of request headers to leave out. */
  readonly dropped?: HeaderNames | undefined;
  /** Flat name, value … to send besides. */
  readonly added?: readonly string[] | undefined;
  /** Set by a server's `checkContinue` handler: the client waits before it sends the body. */
  readonly expectsContinue?: boolean;
  /**
   * Nothing was sent to the client yet: answer it here. `error` is undici's, the connector's, or
   * what the dispatcher refused (`UND_ERR_INVALID_ARG`).
   */
  failed(error: Error, request: IncomingMessage, response: ServerResponse): void;
  /** The final response's head, before it is sent. `headers` is flat and may be changed. */
  answered?(status: number, headers: string[]): void;
  /**
   * The exchange is over. `error` is null if the response went out whole; else the client's
   * connection was cut in the middle of it, or the client went away. Not called after `failed`.
   */
  ended?(error: Error | null): void;
  /**
   * May the request be sent again after `error`, which came before a response did? Asked only
   * where all of the body is still at hand. Default: never.
   */
  mayRetry?(error: Error, attempt: Attempt): boolean;
}

/** What has failed. */
export interface Attempt {
  /** GET, HEAD, OPTIONS or TRACE, without a body: it may be processed twice (RFC 9110, 9.2.2). */
  readonly isSafe: boolean;
  readonly hasBody: boolean;
  /** How many times it was sent before. */
  readonly retries: number;
}

/**
 * Forwards one request and streams its response, with back-pressure and aborts in both directions.
 *
 * It is sent once, unless the target knows that it may be sent again. A response that breaks off
 * destroys the client's connection: a truncated body never ends cleanly. Informational responses
 * and trailers are dropped, as `fetch` does.
 */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  target: ForwardTarget,
): void {
  new Exchange(request, response, target, null).start();
}

/**
 * Forwards an upgrade (a server's `upgrade` event): once the origin switches protocols, bytes flow
 * both ways; if it answers with a response instead, the client gets that.
 */
export function forwardUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: ForwardTarget,
): void {
  new Exchange(request, responseOn(socket, request), target, { socket, head }).start();
}

/**
 * Forwards what asks for a tunnel as HTTP/2 does (RFC 8441): `response` announces it, `tunnel`
 * carries its bytes.
 */
export function forwardTunnel(
  request: IncomingMessage,
  response: ServerResponse,
  tunnel: Duplex,
  target: ForwardTarget,
): void {
  new Exchange(request, response, target, { socket: tunnel, head: Buffer.alloc(0) }).start();
}

/**
 * The head of a request without a body goes out in one write. If that fails, because the peer had
 * closed the connection before, no peer has read a whole request.
 */
export function wasNeverSent(error: Error, { hasBody }: Attempt): boolean {
  return !hasBody && (error as NodeJS.ErrnoException).code === "EPIPE";
}

/** The peer closed a connection, without a word of why. */
export function isClosedConnection(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

/** How long a client may go on with an upload after the response has gone out, in ms. */
const LINGER = 2_000;

/** How often one request is sent again: origins that refuse work while they close do so in bursts. */
const MOST_RETRIES = 8;

/** The largest body, in bytes, for which a copy is cheaper than a second buffer to write. */
const ONE_WRITE = 16_384;

interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #target: ForwardTarget;
  readonly #upgrade: Upgrade | null;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #upload: Upload | null;
  #controller: Dispatcher.DispatchController | null = null;
  #mayRetry: boolean;
  #retries = 0;
  #paused = false;
  /** As announced; NaN if it was not. */
  #bodyLength = NaN;
  /** The client's connection closed, or everything was said to it. */
  #over = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    target: ForwardTarget,
    upgrade: Upgrade | null,
  ) {
    this.#request = request;
    this.#response = response;
    this.#target = target;
    this.#upgrade = upgrade;
    const { headers, host, hasBody } = requestHead(request.rawHeaders, target.dropped);
    const wanted = target.host === undefined ? host : target.host;
    if (wanted !== null) headers.push("host", wanted);
    if (target.added !== undefined) headers.push(...target.added);
    const method = request.method!;
    this.#upload = hasBody
      ? new Upload(request, target.expectsContinue === true ? response : null)
      : null;
    this.#mayRetry = upgrade === null && target.mayRetry !== undefined;
    if (!this.#mayRetry) this.#upload?.forget();
    this.#options = {
      path: target.path,
      method,
      headers,
      body: this.#upload?.read() ?? null,
      upgrade: upgrade === null ? null : (request.headers.upgrade ?? null),
    };
  }

  start(): void {
    this.#response.on("close", () => this.#clientClosed());
    this.#target.dispatcher.dispatch(this.#options, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(clientGone());
  }

  onResponseStarted(): void {
    this.#mayRetry = false;
    this.#upload?.forget();
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (status < 200 || this.#over) return;
    const flat = responseHeaders(headers);
    this.#target.answered?.(status, flat);
    this.#response.writeHead(status, reasonOf(status, statusText), flat);
    this.#bodyLength = Number(headers["content-length"] ?? NaN);
    // What has come with the head goes out with it; but a head does not wait for a body to come.
    process.nextTick(Exchange.#flush, this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    if (chunk.length === this.#bodyLength && chunk.length <= ONE_WRITE) {
      // All of it, as a string: Node joins that to the head, and both go out in one write.
      this.#response.end(chunk.toString("latin1"), "latin1");
    } else if (!this.#response.write(chunk)) {
      this.#pause(controller);
    }
  }

  onResponseEnd(): void {
    if (this.#over) return;
    if (!this.#response.writableEnded) this.#response.end();
    this.#linger();
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    if (this.#isRetriable(error)) {
      this.#again();
      return;
    }
    this.#over = true;
    this.#upload?.release();
    if (this.#response.headersSent) {
      this.#target.ended?.(error);
      this.#response.destroy();
      return;
    }
    // A client that still waits for leave to send its body may or may not send it now.
    if (this.#target.expectsContinue === true) this.#response.shouldKeepAlive = false;
    this.#target.failed(error, this.#request, this.#response);
    this.#linger();
  }

  onRequestUpgrade(
    _: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    upstream: Duplex,
  ): void {
    const { socket, head } = this.#upgrade!;
    if (this.#over) {
      upstream.destroy();
      return;
    }
    this.#over = true;
    const flat = responseHeaders(headers);
    flat.push("connection", "Upgrade", "upgrade", String(this.#options.upgrade));
    this.#target.answered?.(status, flat);
    this.#response.writeHead(status, flat);
    this.#response.flushHeaders();
    this.#response.detachSocket(socket as never);
    if (head.length > 0) upstream.write(head);
    if (this.#target.ended !== undefined) upstream.once("close", () => this.#target.ended!(null));
    splice(socket, upstream);
  }

  static #flush(this: void, exchange: Exchange): void {
    const response = exchange.#response;
    if (!exchange.#over && !response.writableEnded && response.writableLength === 0) {
      response.flushHeaders();
    }
  }

  #isRetriable(error: Error): boolean {
    const upload = this.#upload;
    if (!this.#mayRetry || this.#retries >= MOST_RETRIES || upload?.isWhole === false) return false;
    const hasBody = upload !== null;
    return this.#target.mayRetry!(error, {
      isSafe: !hasBody && isSafe(this.#options.method),
      hasBody,
      retries: this.#retries,
    });
  }

  #again(): void {
    this.#retries += 1;
    this.#controller = null;
    queueMicrotask(() => {
      if (this.#over) return;
      this.#options.body = this.#upload?.read() ?? null;
      this.#target.dispatcher.dispatch(this.#options, this);
    });
  }

  /** Gives the client time to see the response before its unfinished upload is cut. */
  #linger(): void {
    const request = this.#request;
    this.#upload?.release();
    if (this.#upload === null || request.complete) return;
    const timer = setTimeout(() => request.socket.destroy(), LINGER);
    timer.unref();
    request.once("close", () => clearTimeout(timer));
  }

  #pause(controller: Dispatcher.DispatchController): void {
    controller.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#response.once("drain", () => {
      this.#paused = false;
      controller.resume();
    });
  }

  #clientClosed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#upload?.release();
    if (this.#response.writableFinished) {
      this.#target.ended?.(null);
      return;
    }
    const error = clientGone();
    this.#controller?.abort(error);
    this.#target.ended?.(error);
  }
}

/** A reason phrase as it came, unless it has characters that Node does not write. */
function reasonOf(status: number, text: string | undefined): string {
  const usual = STATUS_CODES[status] ?? "";
  if (text === undefined || text === "" || text === usual) return usual;
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text) ? text : usual;
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS" || method === "TRACE";
}

function clientGone(): Error {
  return Object.assign(new Error("the client closed its connection"), { code: "CLIENT_GONE" });
}
