import http2, { type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { asError } from "../../forward/guarded.ts";
import { tokens } from "../../forward/headers.ts";
import { MOST_INFORMATIONAL, Overhead, SessionOverhead } from "../../network/http-overhead.ts";
import { HEADER_BUFFER, MOST_HEADERS } from "../../forward/limits.ts";

/**
 * Settings that undici does not offer. They are made on one connection while undici takes it over;
 * `take` hands the connection over. Only undici's objects for this connection are changed. `ended` is told the error
 * with which an HTTP/2 session ends, before any of its requests is.
 */
export function handOver(
  stream: Duplex,
  take: () => void,
  ended: (error: Error) => void = () => {},
): void {
  const { connect } = http2;
  http2.connect = ((authority: string, options: object, listener?: () => void) =>
    withGuards(connect(authority, withLimits(options), listener), stream, ended)) as typeof connect;
  try {
    take();
  } finally {
    http2.connect = connect;
  }
  guardHeads(stream);
}

/** Node takes 64 KB and 128 fields over HTTP/2 unless it is told otherwise. */
function withLimits(options: { settings?: object }): object {
  return {
    ...options,
    settings: { ...options.settings, maxHeaderListSize: HEADER_BUFFER },
    maxHeaderListPairs: MOST_HEADERS,
    maxSendHeaderBlockLength: HEADER_BUFFER,
  };
}

function withGuards(
  session: ClientHttp2Session,
  connection: Duplex,
  ended: (error: Error) => void,
): ClientHttp2Session {
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => {
    if (error instanceof Error) ended(error);
    destroy(error, code);
  };
  const flooded = (what: string): void => session.destroy(malformed(what));
  const overhead = new SessionOverhead(session, connection, flooded);
  const request = session.request.bind(session);
  session.request = (headers, options) => {
    if (options?.endStream !== false) return reportsCuts(request(headers, options), overhead);
    const abort = new AbortController();
    const stream = request(headers, { ...options, signal: abort.signal });
    return reportsCuts(breaksOff(stream, abort), overhead);
  };
  return session;
}

/**
 * Node ends an upload before it resets its stream, and the origin reads a cut body as a whole one;
 * or, where a pipe leads into it, resets nothing at all. Its signal only resets.
 */
function breaksOff(stream: ClientHttp2Stream, abort: AbortController): ClientHttp2Stream {
  const close = stream.close.bind(stream);
  stream.close = (code, callback) => {
    if (stream.writableEnded || stream.closed) {
      close(code, callback);
      return;
    }
    if (callback !== undefined) stream.once("close", callback);
    stream.on("error", () => {});
    abort.abort();
  };
  return stream;
}

/**
 * A stream that its peer resets with NO_ERROR or CANCEL ends, for Node, like one that is whole.
 * What ended before END_STREAM came was cut (RFC 9113, section 8.1).
 */
function reportsCuts(stream: ClientHttp2Stream, overhead: SessionOverhead): ClientHttp2Stream {
  const push = stream.push.bind(stream);
  let ended = false;
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null) {
      // Node marks a stream that was reset as closed first, and pushes its end afterwards.
      const cut = !ended && stream.closed && !stream.endAfterHeaders;
      ended = true;
      if (cut && (stream.rstCode === NO_ERROR || stream.rstCode === CANCEL)) {
        stream.on("error", () => {});
        // Not inside the call from the native side, which still works on the stream.
        process.nextTick(() => stream.destroy(cutError(stream.rstCode)));
        return false;
      }
    } else overhead.body((chunk as Buffer).length);
    try {
      return push(chunk, encoding);
    } catch (error) {
      // Called from the native side: a listener of this stream's that throws ends this stream.
      stream.on("error", () => {});
      process.nextTick(() => stream.destroy(asError(error)));
      return false;
    }
  };
  overhead.follow(stream);
  return stream;
}

function cutError(code: number): Error {
  return Object.assign(new Error(`the stream was reset (${code}) before its end`), {
    code: "ERR_HTTP2_STREAM_ERROR",
  });
}

/**
 * undici ends a connection on which a `100 Continue` comes that it did not ask for; any client
 * has to be able to read one (RFC 9110, section 15.2). Its parser is told of a 103 instead, which
 * it passes over. It would pass over any number of them: nobody waits for what they say, so that an
 * origin that sends nothing else would keep the gateway busy.
 */
function guardHeads(stream: Duplex): void {
  const symbol = Object.getOwnPropertySymbols(stream).find(
    ({ description }) => description === "parser",
  );
  const parser = symbol && ((stream as never)[symbol] as HeaderParser | null | undefined);
  if (typeof parser?.onHeadersComplete !== "function") return;
  const complete = parser.onHeadersComplete.bind(parser);
  const overhead = new Overhead(stream);
  const execute = parser.execute.bind(parser);
  parser.execute = (chunk) => {
    execute(chunk);
    const { tooMuch } = overhead;
    if (hasManyFields(parser)) stream.destroy(manyFields());
    else if (tooMuch !== null) stream.destroy(malformed(tooMuch));
  };
  const body = parser.onBody.bind(parser);
  parser.onBody = (bytes) => {
    overhead.body(bytes.length);
    return body(bytes);
  };
  let informational = 0;
  parser.onHeadersComplete = (status, ...rest) => {
    try {
      if (status < 100) throw malformed(`the status ${status}`);
      if (hasManyFields(parser)) throw manyFields();
      informational = status < 200 ? informational + 1 : 0;
      if (status >= 200) overhead.head();
      if (informational > MOST_INFORMATIONAL) {
        throw malformed(`more than ${MOST_INFORMATIONAL} informational responses`);
      }
      const coding = otherCoding(parser.headers);
      if (coding !== null) {
        throw malformed(`the transfer coding ${JSON.stringify(coding)}`, "ERR_TRANSFER_CODING");
      }
      return complete(status === 100 ? 103 : status, ...rest);
    } catch (error) {
      stream.destroy(asError(error));
      return PARSER_ERROR;
    }
  };
}

/** Each is an object of its own: 128 KB of small ones hold everybody up, and are many megabytes of memory. */
function hasManyFields({ headers }: HeaderParser): boolean {
  return headers.length > 2 * MOST_FIELDS;
}

function manyFields(): Error {
  return malformed(`a head with more than ${MOST_FIELDS} fields`, "UND_ERR_HEADERS_OVERFLOW");
}

/**
 * A body may be coded for the way in a form that undici does not undo, and the Worker would not learn
 * it: the field is of this connection alone (RFC 9112, 6.1). `identity` is no coding. @returns null: it is not
 */
function otherCoding(headers: readonly Buffer[]): string | null {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!;
    if (name.length !== FIELD.length || String(name).toLowerCase() !== FIELD) continue;
    const value = String(headers[i + 1]).toLowerCase();
    if (tokens(value).some((one) => one !== "chunked" && one !== "identity")) return value;
  }
  return null;
}

const FIELD = "transfer-encoding";

function malformed(what: string, code = "ERR_RESPONSE_MALFORMED"): Error {
  return Object.assign(new Error(what), { code });
}

/** As many as Node takes of a request. */
const MOST_FIELDS = 2_000;

/** Of llhttp: stop, this connection is over. */
const PARSER_ERROR = -1;

interface HeaderParser {
  /** Name, value, name, …: of the response whose head has come. */
  readonly headers: readonly Buffer[];
  execute(chunk: Buffer): void;
  onBody(bytes: Buffer): number;
  onHeadersComplete(status: number, upgrade: boolean, keepAlive: boolean): number;
}

/**
 * The origin has not processed the request, whatever its method, by the word of the protocol:
 * refused, above the last stream that a GOAWAY names, or never sent (RFC 9113, section 8.7).
 */
export function wasNotProcessed(error: Error): boolean {
  const code = streamError(error);
  if (code === REFUSED_STREAM || code === HTTP_1_1_REQUIRED) return true;
  return /^HTTP\/2: ("GOAWAY" frame received|"frameError" received - type 1,)/.test(error.message);
}

/** The origin wants this request over HTTP/1.1. */
export function needsHttp1(error: Error): boolean {
  return (
    streamError(error) === HTTP_1_1_REQUIRED ||
    error.message.endsWith(`"GOAWAY" frame received with code ${HTTP_1_1_REQUIRED}`)
  );
}

function streamError(error: Error): unknown {
  const known = (error as { http2ErrorCode?: unknown }).http2ErrorCode;
  if (known !== undefined) return known;
  return /NGHTTP2_REFUSED_STREAM/.test(error.message)
    ? REFUSED_STREAM
    : /NGHTTP2_HTTP_1_1_REQUIRED/.test(error.message)
      ? HTTP_1_1_REQUIRED
      : undefined;
}

const {
  NGHTTP2_NO_ERROR: NO_ERROR,
  NGHTTP2_CANCEL: CANCEL,
  NGHTTP2_REFUSED_STREAM: REFUSED_STREAM,
  NGHTTP2_HTTP_1_1_REQUIRED: HTTP_1_1_REQUIRED,
} = http2.constants;
