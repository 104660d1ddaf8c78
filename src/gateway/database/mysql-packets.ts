import { createHash, randomBytes } from "node:crypto";
import { visibleLine } from "../../terminal/visible.ts";
import type { Told } from "./protocol.ts";

/** Capabilities (MySQL's documentation, "Capabilities Flags"). */
export const CONNECT_WITH_DB: number = 1 << 3;
export const COMPRESS: number = 1 << 5;
export const PROTOCOL_41: number = 1 << 9;
export const SSL: number = 1 << 11;
export const SECURE_CONNECTION: number = 1 << 15;
export const PLUGIN_AUTH: number = 1 << 19;
export const CONNECT_ATTRS: number = 1 << 20;
export const PLUGIN_AUTH_LENENC: number = 1 << 21;
/** Compression and more factors are not passed on: the gateway does not speak them. */
const NOT_PASSED = COMPRESS | SSL | (1 << 26) | (1 << 28);

/** Bytes of a packet while signing in. */
export const LONGEST_PACKET = 65_536;

export interface Greeting {
  readonly capabilities: number;
  readonly scramble: Buffer;
  readonly plugin: string;
  /** As the driver gets it: without TLS, and with a scramble of the gateway's own. */
  readonly passed: Buffer;
}

/** The server's first packet. Null: it is none of protocol 10. */
export function readGreeting(packet: Buffer): Greeting | null {
  const versionEnd = packet.indexOf(0, 1);
  // Protocol, version, thread, 8 bytes of scramble, and what has a fixed length after it.
  if (packet[0] !== 10 || versionEnd < 0 || packet.length < versionEnd + 32) return null;
  const at = versionEnd + 5;
  const low = at + 9;
  const high = low + 5;
  const capabilities = packet.readUInt16LE(low) | (packet.readUInt16LE(high) << 16);
  const rest = Math.max(13, packet[high + 2]! - 8);
  const restAt = high + 13;
  const scramble = Buffer.concat([
    packet.subarray(at, at + 8),
    packet.subarray(restAt, restAt + 12),
  ]);
  const plugin = nulText(packet, restAt + rest).value || "mysql_native_password";
  const passed = Buffer.from(packet.subarray(0, restAt));
  const shown = capabilities & ~NOT_PASSED;
  passed.writeUInt16LE(shown & 0xffff, low);
  passed.writeUInt16LE(shown >>> 16, high);
  passed[high + 2] = 21;
  const own = Buffer.from(randomBytes(20).map((byte) => (byte % 94) + 33));
  own.copy(passed, at, 0, 8);
  const end = Buffer.from("mysql_native_password\0");
  return {
    capabilities,
    scramble,
    plugin,
    passed: Buffer.concat([passed, own.subarray(8), Buffer.from([0]), end]),
  };
}

export interface DriverResponse {
  readonly capabilities: number;
  /** Capabilities, longest packet, character set and filler: 32 bytes. */
  readonly head: Buffer;
  readonly database: string;
  /** As it was sent: attributes, and what else follows. */
  readonly attributes: Buffer;
}

/** The driver's answer (HandshakeResponse41). Null: it is none. */
export function readResponse(packet: Buffer): DriverResponse | null {
  if (packet.length < 34) return null;
  const capabilities = packet.readUInt32LE(0);
  if ((capabilities & PROTOCOL_41) === 0 || (capabilities & SSL) !== 0) return null;
  let at = nulText(packet, 32).next;
  if ((capabilities & (PLUGIN_AUTH_LENENC | SECURE_CONNECTION)) !== 0) {
    const length = packet[at];
    if (length === undefined || length > 250) return null;
    at += 1 + length;
  } else at = nulText(packet, at).next;
  let database = "";
  if ((capabilities & CONNECT_WITH_DB) !== 0 && at < packet.length) {
    ({ value: database, next: at } = nulText(packet, at));
  }
  if ((capabilities & PLUGIN_AUTH) !== 0 && at < packet.length) at = nulText(packet, at).next;
  if (at > packet.length) return null;
  const attributes = (capabilities & CONNECT_ATTRS) === 0 ? Buffer.alloc(0) : packet.subarray(at);
  return { capabilities, head: packet.subarray(0, 32), database, attributes };
}

export interface SignInPacket {
  readonly capabilities: number;
  readonly user: string;
  readonly database: string;
  readonly answer: Buffer;
  readonly plugin: string;
}

/** The gateway's own answer to the server: the driver's, as the configuration's user. */
export function responsePacket(driver: DriverResponse, sign: SignInPacket): Buffer {
  const head = Buffer.from(driver.head);
  head.writeUInt32LE(sign.capabilities >>> 0, 0);
  return Buffer.concat([
    head,
    Buffer.from(`${sign.user}\0`),
    Buffer.from([sign.answer.length]),
    sign.answer,
    Buffer.from(`${sign.database}\0${sign.plugin}\0`),
    driver.attributes,
  ]);
}

/** What a plugin answers at first. Null: it is not known. */
export function firstAnswer(plugin: string, password: string, scramble: Buffer): Buffer | null {
  switch (plugin) {
    case "mysql_native_password":
      return password === "" ? Buffer.alloc(0) : native(password, scramble);
    case "caching_sha2_password":
      return password === "" ? Buffer.alloc(0) : cachingSha2(password, scramble);
    case "mysql_clear_password":
      return Buffer.from(`${password}\0`);
    default:
      return null;
  }
}

function native(password: string, scramble: Buffer): Buffer {
  const once = hash("sha1", Buffer.from(password));
  return xor(once, hash("sha1", scramble, hash("sha1", once)));
}

function cachingSha2(password: string, scramble: Buffer): Buffer {
  const once = hash("sha256", Buffer.from(password));
  return xor(once, hash("sha256", hash("sha256", once), scramble));
}

function hash(name: string, ...parts: readonly Buffer[]): Buffer {
  const made = createHash(name);
  for (const part of parts) made.update(part);
  return made.digest();
}

function xor(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, i) => byte ^ other[i]!));
}

export function framed(sequence: number, body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(body.length, 0, 3);
  head[3] = sequence & 0xff;
  return Buffer.concat([head, body]);
}

/** An error packet: one text has to carry all of it. */
export function errorPacket(sequence: number, { sqlState, message, cause, fix }: Told): Buffer {
  const number = sqlState === "53300" ? 1040 : sqlState === "28000" ? 1045 : 1105;
  const head = Buffer.alloc(3);
  head[0] = 0xff;
  head.writeUInt16LE(number, 1);
  const said = Buffer.from(`#${sqlState}${message}. ${cause} ${fix}`).subarray(0, 2_000);
  return framed(sequence, Buffer.concat([head, said]));
}

/** What an error packet says. Never throws. */
export function readErrorPacket(body: Buffer): {
  readonly number: number;
  readonly sqlState: string;
  readonly message: string;
} {
  const number = body.length >= 3 ? body.readUInt16LE(1) : 0;
  const said = body.toString("utf8", 3).replaceAll("\0", " ");
  const match = /^#([0-9A-Z]{5})/.exec(said);
  return {
    number,
    sqlState: match?.[1] ?? "08004",
    message: visibleLine((match === null ? said : said.slice(6)).slice(0, 500)),
  };
}

/** A text that ends with NUL, or with the packet. */
export function nulText(
  bytes: Buffer,
  at: number,
): { readonly value: string; readonly next: number } {
  const found = at > bytes.length ? -1 : bytes.indexOf(0, at);
  const end = found < 0 ? bytes.length : found;
  return { value: bytes.toString("utf8", Math.min(at, end), end), next: end + 1 };
}

/** Finds where packets end in what a server sends. */
export class PacketFollower {
  readonly #head: Buffer = Buffer.alloc(4);
  #have = 0;
  #left = 0;
  /** Of the last packet that began. */
  sequence = 0;

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
        continue;
      }
      this.#head[this.#have] = chunk[at]!;
      this.#have += 1;
      at += 1;
      if (this.#have < 4) continue;
      this.#have = 0;
      this.#left = this.#head.readUIntLE(0, 3);
      this.sequence = this.#head[3]!;
    }
  }
}
