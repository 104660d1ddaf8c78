import { visibleLine } from "../../terminal/visible.ts";
import type { Told } from "./protocol.ts";

/** Codes in the place of a protocol's version (PostgreSQL's documentation, 55.7). */
export const SSL_REQUEST = 80_877_103;
export const GSS_REQUEST = 80_877_104;
export const CANCEL_REQUEST = 80_877_102;

/** Bytes: as much as PostgreSQL takes of a first packet. */
export const LONGEST_STARTUP = 10_000;
/** Of a message while signing in. */
export const LONGEST_MESSAGE = 65_536;

export type Parameters = ReadonlyMap<string, string>;

/** Of a StartupMessage, behind its version. Null: it is none. */
export function readParameters(bytes: Buffer): Parameters | null {
  const parameters = new Map<string, string>();
  let at = 0;
  const text = (): string | null => {
    const end = bytes.indexOf(0, at);
    if (end < 0) return null;
    const found = bytes.toString("utf8", at, end);
    at = end + 1;
    return found;
  };
  for (;;) {
    const name = text();
    if (name === null) return null;
    if (name === "") return at === bytes.length ? parameters : null;
    const value = text();
    if (value === null) return null;
    parameters.set(name, value);
  }
}

export function startupMessage(version: number, parameters: Parameters): Buffer {
  const texts = [...parameters].flatMap(([name, value]) => [name, value]);
  const body = Buffer.from([...texts.map((text) => `${text}\0`), "\0"].join(""));
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + body.length, 0);
  head.writeInt32BE(version, 4);
  return Buffer.concat([head, body]);
}

export function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

export const AUTHENTICATION_OK: Buffer = message("R", Buffer.alloc(4));

/** ErrorResponse, after which the connection ends. */
export function errorResponse({ sqlState, message: text, cause, fix }: Told): Buffer {
  const fields = { S: "FATAL", V: "FATAL", C: sqlState, M: text, D: cause, H: fix };
  const body = Object.entries(fields).map(([key, value]) => `${key}${clean(value)}\0`);
  return message("E", Buffer.from(`${body.join("")}\0`));
}

export interface ServerError {
  readonly sqlState: string;
  readonly message: string;
}

/** What an ErrorResponse says. Never throws. */
export function readError(body: Buffer): ServerError {
  const fields = new Map(
    body
      .toString("utf8")
      .split("\0")
      .map((field) => [field.slice(0, 1), clean(field.slice(1)).slice(0, 500)]),
  );
  const state = fields.get("C") ?? "";
  return {
    sqlState: /^[0-9A-Z]{5}$/.test(state) ? state : "08004",
    message: visibleLine(fields.get("M") ?? "no message"),
  };
}

/** A NUL would end a text early. */
function clean(text: string): string {
  return text.replaceAll("\0", " ");
}

/** Finds where messages end in what a server sends. */
export class MessageFollower {
  readonly #head: Buffer = Buffer.alloc(5);
  #have = 0;
  #left = 0;
  /** The type of the last message that began. */
  type = "";

  /** Everything that was seen is whole messages. */
  get isBetween(): boolean {
    return this.#left === 0 && this.#have === 0;
  }

  see(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, chunk.length - at);
        this.#left -= passed;
        at += passed;
      } else if (this.#have === 0 && chunk.length - at >= 5) {
        this.#begin(chunk, at);
        at += 5;
      } else {
        this.#head[this.#have] = chunk[at]!;
        this.#have += 1;
        at += 1;
        if (this.#have < 5) continue;
        this.#have = 0;
        this.#begin(this.#head, 0);
      }
    }
  }

  #begin(bytes: Buffer, at: number): void {
    this.type = String.fromCharCode(bytes[at]!);
    const length = bytes.readInt32BE(at + 1) - 4;
    // What no server sends: from here on nothing is between messages.
    this.#left = length < 0 ? Number.POSITIVE_INFINITY : length;
  }
}
