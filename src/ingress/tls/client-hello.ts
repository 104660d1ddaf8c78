import type { Socket } from "node:net";
import { peek, type Peeked } from "../../network/peek.ts";

/** What the beginning of a connection says of what it is for. */
export interface ClientHello {
  /** Of the server, as it was sent. */
  readonly name: string | null;
  /** What is offered by ALPN (RFC 7301). */
  readonly protocols: readonly string[];
}

/**
 * A longer ClientHello is not read to its end. The largest common ones have fewer than 5,000 bytes.
 */
const LONGEST = 32_768;

/** Reads a ClientHello, which may come in several records. `more`: not all of it is there. Never throws. */
export function readClientHello(bytes: Buffer): ClientHello | "more" {
  const message = messageIn(bytes);
  if (message === "more") return bytes.length < LONGEST ? "more" : NONE;
  if (message === null) return NONE;
  const reader = new Reader(message);
  reader.skip(2 + 32);
  reader.skip(reader.number(1));
  reader.skip(reader.number(2));
  reader.skip(reader.number(1));
  const extensions = new Reader(reader.take(reader.number(2)));
  let { name, protocols }: ClientHello = NONE;
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const body = new Reader(extensions.take(extensions.number(2)));
    if (type === SERVER_NAME) name = firstName(body);
    else if (type === ALPN) protocols = protocolsIn(body);
  }
  return { name, protocols };
}

const NONE: ClientHello = { name: null, protocols: [] };
const SERVER_NAME = 0;
const ALPN = 16;

/** The body of the first handshake message. Null: it is no ClientHello. */
function messageIn(bytes: Buffer): Buffer | "more" | null {
  const parts: Buffer[] = [];
  let length = 0;
  for (let at = 0; ;) {
    if (bytes.length < at + 5) return bytes.length > at && bytes[at] !== 22 ? null : "more";
    if (bytes[at] !== 22 || bytes[at + 1] !== 3) return null;
    const size = bytes.readUInt16BE(at + 3);
    const part = bytes.subarray(at + 5, at + 5 + size);
    parts.push(part);
    length += part.length;
    if (length >= 4) {
      const message = parts.length === 1 ? part : Buffer.concat(parts);
      if (message[0] !== 1) return null;
      const end = 4 + message.readUIntBE(1, 3);
      if (end > LONGEST) return null;
      if (message.length >= end) return message.subarray(4, end);
    }
    if (part.length < size) return "more";
    if (size === 0) return null;
    at += 5 + size;
  }
}

function firstName(list: Reader): string | null {
  list.skip(2);
  if (list.isAtEnd || list.number(1) !== 0) return null;
  const name = list.take(list.number(2)).toString("latin1");
  return name === "" ? null : name;
}

function protocolsIn(list: Reader): readonly string[] {
  list.skip(2);
  const protocols: string[] = [];
  while (!list.isAtEnd) protocols.push(list.take(list.number(1)).toString("latin1"));
  return protocols;
}

/** What lies beyond the end reads as nothing. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(size: number): number {
    let number = 0;
    for (const byte of this.take(size)) number = number * 256 + byte;
    return number;
  }

  take(size: number): Buffer {
    const taken = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return taken;
  }

  skip(size: number): void {
    this.#at += size;
  }
}

/** Finds out what a connection is for, before TLS reads from it. */
export function peekClientHello(socket: Socket, done: (hello: ClientHello) => void): void {
  peek(socket, hello, done);
}

function hello(rest: Buffer): Peeked<ClientHello> | "more" {
  const found = readClientHello(rest);
  return found === "more" ? "more" : { found, rest };
}
