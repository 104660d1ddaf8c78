import { EventEmitter } from "node:events";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { guarded } from "../forward/guarded.ts";
import type { Http2Request } from "./http2-request.ts";

/**
 * The response to an HTTP/2 request, as what forwards requests writes it. An answer that breaks off
 * resets the stream: a truncated body never ends cleanly.
 */
export class Http2Response extends EventEmitter {
  headersSent = false;
  /** HTTP/2 keeps the connection. */
  shouldKeepAlive = true;
  readonly #stream: ServerHttp2Stream;
  readonly #isWebSocket: boolean;
  #head: string[] | null = null;
  readonly #set: string[] = [];

  constructor(stream: ServerHttp2Stream, request: Http2Request) {
    super();
    this.#stream = stream;
    this.#isWebSocket = request.isWebSocket;
    stream
      .on("error", () => {})
      .on(
        "drain",
        guarded(stream, () => void this.emit("drain")),
      )
      .once(
        "finish",
        guarded(stream, () => this.#finished(request)),
      )
      .once(
        "close",
        guarded(stream, () => void this.emit("close")),
      );
  }

  /** As what forwards requests takes them: it uses nothing that is not here. */
  asResponse(): ServerResponse {
    return this as unknown as ServerResponse;
  }

  get writableEnded(): boolean {
    return this.#stream.writableEnded;
  }

  get writableFinished(): boolean {
    return this.#stream.writableFinished;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed;
  }

  /** For `writeHead`, which has to come. */
  setHeader(name: string, value: string): this {
    this.#set.push(name, value);
    return this;
  }

  writeContinue(): void {
    if (!this.#stream.destroyed && !this.#stream.headersSent)
      this.#stream.additionalHeaders({ ":status": 100 });
  }

  writeHead(
    status: number,
    ...rest: readonly (string | readonly string[] | OutgoingHttpHeaders)[]
  ): this {
    const headers = rest.at(-1);
    const given = headers === undefined || typeof headers === "string" ? [] : flatOf(headers);
    const flat = this.#set.length === 0 ? given : [...this.#set, ...given];
    // A tunnel that was accepted (RFC 8441, 5): it has no key to answer.
    const accepted = this.#isWebSocket && status === 101;
    this.#head = [":status", accepted ? "200" : String(status)];
    for (let i = 0; i < flat.length; i += 2) {
      const name = flat[i]!.toLowerCase();
      if (OF_HTTP1.has(name) || (accepted && OF_UPGRADES.has(name))) continue;
      this.#head.push(name, flat[i + 1]!);
    }
    this.headersSent = true;
    return this;
  }

  flushHeaders(): void {
    const head = this.#head;
    this.#head = null;
    if (head === null || this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.respond(head);
  }

  write(chunk: Buffer): boolean {
    this.flushHeaders();
    return this.#stream.destroyed || this.#stream.writableEnded || this.#stream.write(chunk);
  }

  end(chunk?: Buffer | string, encoding: BufferEncoding = "utf8"): this {
    this.flushHeaders();
    if (this.#stream.destroyed || this.#stream.writableEnded) return this;
    if (chunk === undefined) this.#stream.end();
    else this.#stream.end(chunk, encoding);
    return this;
  }

  /**
   * Ends with a body that nobody has to read: where there is no window for it, and for as long as the client pleases,
   * it would wait here with all that belongs to its stream.
   */
  endOptional(body: string): void {
    const stream = this.#stream;
    const { session } = stream;
    if (session === undefined || session.destroyed || stream.destroyed || stream.closed) return;
    const { initialWindowSize = 0 } = session.remoteSettings;
    const window = Math.min(initialWindowSize, session.state.remoteWindowSize ?? 0);
    if (window < Buffer.byteLength(body)) {
      stream.respond(withoutBody(this.#head!), { endStream: true });
      this.#head = null;
    } else this.end(body);
    const timer = setTimeout(() => stream.destroy(), OPTIONAL).unref();
    this.once("close", () => clearTimeout(timer));
  }

  destroy(): this {
    // `close()` would end the body first.
    this.#stream.destroy(new Error("the answer broke off"));
    return this;
  }

  /** The client gets time to see the response before its unfinished upload is refused. */
  #finished(request: Http2Request): void {
    this.emit("finish");
    if (request.complete || request.isWebSocket) return;
    request.resume();
    const timer = setTimeout(() => request.socket.destroy(), LINGER).unref();
    this.once("close", () => clearTimeout(timer));
  }

  /** After a switch of protocols bytes are written to the stream itself. */
  detachSocket(): void {}
}

/** ms */
const LINGER = 2_000;
/** ms in which a client takes the answer that it may do without */
const OPTIONAL = 5_000;

/** They concern one connection of HTTP/1.1: HTTP/2 forbids them (RFC 9113, 8.2.2). */
const OF_HTTP1: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

const OF_UPGRADES: ReadonlySet<string> = new Set(["sec-websocket-accept", "content-length"]);

/** @param head flat: name, value … */
function withoutBody(head: readonly string[]): string[] {
  return head.filter((_, i) => !OF_BODIES.has(head[i - (i % 2)]!));
}

const OF_BODIES: ReadonlySet<string> = new Set(["content-length", "content-type"]);

function flatOf(headers: readonly string[] | OutgoingHttpHeaders): readonly string[] {
  if (Array.isArray(headers)) return headers as readonly string[];
  return Object.entries(headers as OutgoingHttpHeaders).flatMap(([name, value]) => [
    name,
    String(value),
  ]);
}
