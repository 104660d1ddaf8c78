import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex, Transform, Writable } from "node:stream";
import type { Dispatcher } from "undici";
import { Upload } from "./body.ts";
import { asError, attempt, guarded } from "./guarded.ts";
import { GuardedHandler, type Handler } from "./guarded-handler.ts";
import { reasonOf, requestHead, responseHeaders } from "./headers.ts";
import { headerOverflow, headerSize, MOST_HEADERS } from "./limits.ts";
import { Pieces } from "./pieces.ts";
import type { Awaited, Via } from "./patience.ts";
import { clientGone, splice, type Upgrade } from "./sockets.ts";
import { type ForwardTarget, isSafe, type MakeTransform } from "./target.ts";

/** One request on its way to a dispatcher, and its response on the way back. */
export class Exchange implements Handler, Awaited {
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
  #transform: MakeTransform | null = null;
  /** Where the body goes: to the client, or first through a transformation. */
  #sink: Writable;
  #pieces: Pieces | null = null;
  /** As announced; NaN if it was not. */
  #bodyLength = NaN;
  /** The client's connection is closed, or the response is complete. */
  #over = false;
  /** The target was told how the exchange ended. */
  #told = false;
  readonly #handler: GuardedHandler = new GuardedHandler(this);

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    target: ForwardTarget,
    upgrade: Upgrade | null,
  ) {
    this.#request = request;
    this.#response = response;
    this.#sink = response;
    this.#target = target;
    this.#upgrade = upgrade;
    const { headers, host, hasBody } = requestHead(request.rawHeaders, target.dropped);
    const wanted = target.host === undefined ? host : target.host;
    if (wanted !== null) headers.push("host", wanted);
    if (target.added !== undefined) headers.push(...target.added);
    const method = request.method!;
    this.#upload = hasBody
      ? new Upload(request, target.expectsContinue === true ? response : null, target.mostBody)
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
    this.#beginWait();
    this.#response.on("close", () => this.#alone(() => this.#clientClosed()));
    if (this.#upgrade !== null) {
      const { socket } = this.#upgrade;
      socket.once("end", endWhole);
      // Nobody reads it until the origin switches: that its client left would not be seen.
      socket.read(0);
    }
    this.#target.dispatcher.dispatch(this.#options, this.#handler);
  }

  /** Something was thrown: this ends this exchange, and no other. */
  crashed(error: Error): void {
    this.#over = true;
    this.#upload?.release();
    attempt(() => this.#controller?.abort(error));
    if (!this.#told && !this.#response.headersSent && !this.#response.destroyed) {
      this.#told = true;
      if (attempt(() => this.#target.failed(error, this.#request, this.#response))) return;
    }
    attempt(() => this.#ended(error));
    this.#response.destroy();
    this.#sink.destroy();
  }

  /** An exception in a listener of either side. */
  #alone(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.crashed(asError(error));
    }
  }

  /** Called once, and not after a failure was reported. */
  #ended(error: Error | null): void {
    if (this.#told) return;
    this.#told = true;
    this.#target.ended?.(error);
  }

  get via(): Via | null {
    return this.#handler.via;
  }

  awaits(): "headers" | "body" | "turn" | null {
    if (this.#over || this.#sink.writableEnded) return null;
    if (this.#controller === null) return "turn";
    if (this.#response.headersSent) return this.#paused ? null : "body";
    return this.#upload?.isMoving() === true ? null : "headers";
  }

  timedOut(error: Error): void {
    this.#alone(() => {
      // What still waits in the dispatcher is called off when its turn comes.
      if (this.#controller === null) this.onResponseError(null, error);
      else this.#controller.abort(error);
    });
  }

  #beginWait(): void {
    this.#handler.wait = this.#target.patience?.begin(this) ?? null;
  }

  #endWait(): void {
    const { wait } = this.#handler;
    if (wait !== null) this.#target.patience!.end(wait);
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
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (status < 200 || this.#over) return;
    const flat = responseHeaders(headers);
    // The parser of HTTP/1.1 has enforced the limit. Over HTTP/2, the peer was told the limit, but
    // may ignore it.
    if (headerSize(flat) > MOST_HEADERS) {
      controller.abort(headerOverflow());
      return;
    }
    this.#transform = this.#target.answered?.(status, flat, this.#request) ?? null;
    this.#response.writeHead(status, reasonOf(status, statusText), flat);
    this.#bodyLength = Number(headers["content-length"] ?? NaN);
    // If part of the body came with the head, both go out together. A head does not wait for a
    // body.
    process.nextTick(Exchange.#flush, this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    if (this.#transform !== null) this.#divert(controller, this.#transform());
    if (
      this.#sink === this.#response &&
      chunk.length === this.#bodyLength &&
      chunk.length <= ONE_WRITE
    ) {
      // All of it, as a string: Node joins that to the head, and both go out in one write.
      this.#response.end(chunk.toString("latin1"), "latin1");
    } else {
      this.#pieces ??= new Pieces(
        (all) => this.#write(all),
        () => this.#rest(),
      );
      if (this.#pieces.take(chunk)) process.nextTick(Exchange.#passOn, this);
    }
  }

  #write(chunk: Buffer): void {
    if (!this.#sink.write(chunk)) this.#pause(this.#controller!);
  }

  /** It is the turn of others. */
  #rest(): void {
    this.#controller?.pause();
    setImmediate(() => {
      this.#alone(() => {
        if (!this.#over && !this.#paused) this.#controller?.resume();
      });
    });
  }

  onResponseEnd(): void {
    if (this.#over) return;
    this.#pieces?.passOn();
    this.#sink.end();
    this.#upload?.linger();
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    if (this.#isRetriable(error)) {
      this.#again();
      return;
    }
    if (this.#response.headersSent) {
      this.#breakOff(error);
      return;
    }
    this.#over = true;
    this.#upload?.release();
    // A client that still waits for `100 Continue` may or may not send its body now.
    if (this.#target.expectsContinue === true) this.#response.shouldKeepAlive = false;
    this.#told = true;
    this.#target.failed(error, this.#request, this.#response);
    this.#upload?.linger();
  }

  onRequestUpgrade(
    _: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    upstream: Duplex,
  ): void {
    const { socket, head } = this.#upgrade!;
    this.#endWait();
    socket.off("end", endWhole);
    if (this.#over) {
      upstream.destroy();
      return;
    }
    this.#over = true;
    const flat = responseHeaders(headers);
    flat.push("connection", "Upgrade", "upgrade", String(this.#options.upgrade));
    this.#target.answered?.(status, flat, this.#request);
    this.#response.writeHead(status, flat);
    this.#response.flushHeaders();
    this.#response.detachSocket(socket as never);
    if (head.length > 0) upstream.write(head);
    upstream.once(
      "close",
      guarded(upstream, () => this.#ended(null)),
    );
    splice(socket, upstream);
  }

  static #passOn(this: void, exchange: Exchange): void {
    exchange.#alone(() => {
      if (!exchange.#over) exchange.#pieces?.passOn();
    });
  }

  static #flush(this: void, exchange: Exchange): void {
    const response = exchange.#response;
    exchange.#alone(() => {
      if (exchange.#over || response.writableEnded || response.writableLength > 0) return;
      response.flushHeaders();
    });
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
    this.#endWait();
    this.#beginWait();
    queueMicrotask(() => {
      this.#alone(() => {
        if (this.#over) return;
        this.#options.body = this.#upload?.read() ?? null;
        this.#target.dispatcher.dispatch(this.#options, this.#handler);
      });
    });
  }

  /** The body goes through `transform` first. If `transform` fails, the response is cut. */
  #divert(controller: Dispatcher.DispatchController, transform: Transform): void {
    this.#transform = null;
    this.#sink = transform;
    transform.once("error", (error) => {
      this.#alone(() => {
        if (this.#over) return;
        this.#breakOff(error);
        controller.abort(error);
      });
    });
    transform.pipe(this.#response);
  }

  /** A truncated body never ends cleanly. */
  #breakOff(error: Error): void {
    this.#over = true;
    this.#upload?.release();
    this.#ended(error);
    this.#response.destroy();
    this.#sink.destroy();
  }

  #pause(controller: Dispatcher.DispatchController): void {
    controller.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#sink.once("drain", () => {
      this.#paused = false;
      this.#alone(() => controller.resume());
    });
  }

  #clientClosed(): void {
    this.#endWait();
    if (this.#over) return;
    this.#over = true;
    this.#upload?.release();
    if (this.#response.writableFinished) {
      this.#ended(null);
      return;
    }
    this.#sink.destroy();
    const error = clientGone();
    this.#controller?.abort(error);
    this.#ended(error);
  }
}

/** How often one request is sent again: origins that refuse work while they close do so in bursts. */
const MOST_RETRIES = 8;

/** The largest body, in bytes, for which a copy is cheaper than a second buffer to write. */
const ONE_WRITE = 16_384;

/** The client of an upgrade ended its side before it had an answer. */
function endWhole(this: Duplex): void {
  this.destroy();
}
