import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { guarded } from "../forward/guarded.ts";
import { Pieces } from "../forward/pieces.ts";
import { Rest } from "../forward/rest.ts";

/** Both ways of one HTTP/2 request, with its connection's two ends. */
export interface Http2Socket {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** Ends this request, not the connection: others go on there. */
  destroy(): void;
}

/**
 * A request of HTTP/2 in the form of HTTP/1.1, in which it is forwarded: `Host` and one `Cookie`
 * field, no pseudo-header fields. A body that breaks off never ends: it is destroyed.
 */
export class Http2Request extends Readable {
  readonly httpVersion = "2.0";
  readonly method: string;
  readonly url: string;
  /** Flat: name, value … */
  readonly rawHeaders: string[];
  readonly headers: IncomingHttpHeaders;
  readonly socket: Http2Socket;
  readonly tls: TLSSocket;
  /** All of the body has come. */
  complete: boolean;
  /** An extended CONNECT (RFC 8441): both ends want to speak WebSocket. */
  readonly isWebSocket: boolean;
  readonly #stream: ServerHttp2Stream;
  /** Bytes of the body that are still to come, where the client has said how many. */
  #expected: number;
  #isFlowing = false;
  readonly #rest = new Rest();
  #wantsMore = true;

  /** @param raw flat, as nghttp2 has checked them */
  constructor(stream: ServerHttp2Stream, raw: readonly string[], tls: TLSSocket) {
    super();
    this.#stream = stream;
    this.tls = tls;
    this.complete = stream.endAfterHeaders;
    const { pseudo, fields } = splitFields(raw);
    this.isWebSocket =
      pseudo.get(":method") === "CONNECT" && pseudo.get(":protocol") === "websocket";
    this.method = this.isWebSocket ? "GET" : (pseudo.get(":method") ?? "");
    this.url = pseudo.get(":path") ?? "";
    this.headers = Object.fromEntries(joined(fields));
    this.rawHeaders = [...fields.entries()].flatMap(([name, values]) =>
      values.flatMap((value) => [name, value]),
    );
    this.#expected = Number(this.headers["content-length"] ?? NaN);
    if (this.isWebSocket) this.#becomeUpgrade();
    // It is not sent on: it says that there is a body.
    else if (!this.complete && Number.isNaN(this.#expected))
      this.rawHeaders.push("transfer-encoding", "chunked");
    const { remoteAddress, remotePort } = tls;
    const destroy = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
    this.socket = { remoteAddress, remotePort, destroy };
    this.on("error", () => {});
    stream.once("close", () => {
      if (!this.complete) this.destroy(new Error("the client closed its upload"));
    });
  }

  /** As what forwards requests takes them: it uses nothing that is not here. */
  asMessage(): IncomingMessage {
    return this as unknown as IncomingMessage;
  }

  override _read(): void {
    this.#wantsMore = true;
    if (!this.#isFlowing) this.#flow();
    this.#readOn();
  }

  #readOn(): void {
    if (this.#wantsMore && !this.#rest.isOn && !this.destroyed) this.#stream.resume();
  }

  #flow(): void {
    this.#isFlowing = true;
    const stream = this.#stream;
    const pieces = new Pieces(
      (all) => {
        this.#wantsMore = this.push(all);
        if (!this.#wantsMore) stream.pause();
      },
      () => {
        stream.pause();
        this.#rest.extend(() => this.#readOn());
      },
    );
    const passOn = guarded(stream, () => pieces.passOn());
    stream
      .on(
        "data",
        guarded(stream, (chunk: Buffer) => {
          this.#expected -= chunk.length;
          if (pieces.take(chunk)) setImmediate(passOn);
        }),
      )
      .on("end", () => {
        passOn();
        // A stream that is reset ends as well.
        if (stream.aborted || stream.rstCode !== 0 || this.#expected > 0) return;
        this.complete = true;
        this.push(null);
      });
  }

  #becomeUpgrade(): void {
    const key = randomBytes(16).toString("base64");
    this.headers.upgrade = "websocket";
    this.rawHeaders.push("connection", "Upgrade", "upgrade", "websocket", "sec-websocket-key", key);
  }
}

interface Fields {
  readonly pseudo: ReadonlyMap<string, string>;
  /** In the order in which their names came first. */
  readonly fields: Map<string, string[]>;
}

function splitFields(raw: readonly string[]): Fields {
  const pseudo = new Map<string, string>();
  const fields = new Map<string, string[]>();
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    if (name.startsWith(":")) pseudo.set(name, value);
    else if (fields.has(name)) fields.get(name)!.push(value);
    else fields.set(name, [value]);
  }
  const authority = pseudo.get(":authority");
  const hosts = fields.get("host") ?? [];
  // A `Host` beside it has to say the same (RFC 9113, 8.3.1); one that does not makes two hosts.
  if (authority !== undefined && hosts.length <= 1 && hosts[0] !== authority)
    fields.set("host", [authority, ...hosts]);
  // HTTP/2 may cut it in pieces, HTTP/1.1 has one (RFC 9113, 8.2.3).
  const cookies = fields.get("cookie");
  if (cookies !== undefined) fields.set("cookie", [cookies.join("; ")]);
  return { pseudo, fields };
}

function* joined(fields: Fields["fields"]): Generator<[string, string]> {
  for (const [name, values] of fields)
    yield [name, name === "host" ? values[0]! : values.join(", ")];
}
