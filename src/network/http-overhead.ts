import type { ClientHttp2Stream, Http2Session, Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MOST_HEADERS } from "../forward/limits.ts";
import { SmallFrames } from "./small-frames.ts";

// What comes on a connection and is no part of an answer: blank lines, extensions of chunks, endless reasons, frames of
// control. Parsers take any amount of it, and read it as fast as it comes, while all others wait.

/** Of an HTTP/1.1 connection. */
export class Overhead {
  readonly #socket: Socket;
  /** Of the bytes that were read, how many are accounted for. */
  #due = 0;

  constructor(stream: Duplex) {
    this.#socket = stream as Socket;
  }

  body(bytes: number): void {
    this.#due = Math.min(this.#socket.bytesRead, this.#due + bytes * FOR_A_BYTE);
  }

  /** The head of an answer is over. How long it may be is another limit. */
  head(): void {
    this.#due = this.#socket.bytesRead;
  }

  /** What came, if that is too much. */
  get tooMuch(): string | null {
    const bytes = this.#socket.bytesRead - this.#due;
    return bytes > MOST + 2 * MOST_HEADERS ? said(bytes) : null;
  }
}

/**
 * Of an HTTP/2 connection, which is read by native code: it is looked at from time to time.
 * Frames that nobody here needs are counted.
 */
export class SessionOverhead {
  readonly #flooded: (what: string) => void;
  readonly #frames: SmallFrames;
  #data = 0;
  #answers = 0;

  /** @param flooded is told what came. It ends the session */
  constructor(session: Http2Session, stream: Duplex, flooded: (what: string) => void) {
    this.#flooded = flooded;
    this.#frames = new SmallFrames(stream);
    const socket = stream as Socket;
    let { bytesRead, bytesWritten } = socket;
    const timer = setInterval(() => {
      const came = socket.bytesRead - bytesRead;
      const sent = socket.bytesWritten - bytesWritten;
      ({ bytesRead, bytesWritten } = socket);
      const due = this.#data * FOR_A_BYTE + sent * FOR_A_BYTE_SENT + this.#answers * FOR_AN_ANSWER;
      this.#data = 0;
      this.#answers = 0;
      if (came - due > MOST) flooded(said(came - due));
    }, EVERY).unref();
    session.once("close", () => clearInterval(timer));
    let unneeded = 0;
    const count = (): void => {
      unneeded += 1;
      if (unneeded > MOST_UNNEEDED) flooded(`more than ${MOST_UNNEEDED} ALTSVC and ORIGIN frames`);
    };
    session.on("altsvc", count).on("origin", count);
    let goaways = 0;
    session.on("goaway", () => {
      goaways += 1;
      // nghttp2 ends connections that are flooded with most other frames, but not with these.
      if (goaways > MOST_GOAWAYS) flooded(`more than ${MOST_GOAWAYS} GOAWAYs`);
    });
  }

  body(bytes: number): void {
    this.#data += bytes;
  }

  /** A request that a client sends. */
  followUpload(stream: Http2Stream): void {
    this.#answers += 1;
    if (stream.endAfterHeaders) return;
    const push = stream.push.bind(stream);
    stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      if (chunk !== null) this.body(chunk.length);
      return push(chunk, encoding);
    };
    this.#frames.join(stream);
  }

  /** A request that goes to an origin. Its `push` is replaced before. */
  follow(stream: ClientHttp2Stream): void {
    this.#frames.join(stream);
    let informational = 0;
    stream.once("response", () => (this.#answers += 1));
    stream.on("headers", () => {
      informational += 1;
      if (informational > MOST_INFORMATIONAL) {
        this.#flooded(`more than ${MOST_INFORMATIONAL} informational responses`);
      }
    });
  }
}

function said(bytes: number): string {
  return `${bytes} bytes that are no part of an answer`;
}

/** Before one response. Some origins tell the progress of long work by them. */
export const MOST_INFORMATIONAL = 1000;

/** A peer that closes says so twice at most: that it will, and which stream was its last. */
const MOST_GOAWAYS = 100;

/** They name other servers, and other names of this one. */
const MOST_UNNEEDED = 100;

/** ms */
const EVERY = 100;

/** Bytes, within that time. */
const MOST = 128 * 1024;

/** Bytes that one byte of a body may take: in a chunk, or a frame, of its own. */
const FOR_A_BYTE = 16;

/** Bytes that may come for each that is sent: an origin says how much more it takes, after each frame. */
const FOR_A_BYTE_SENT = 3;

/** Its head, and its trailers. */
const FOR_AN_ANSWER = 2 * MOST_HEADERS;
