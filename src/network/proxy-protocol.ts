import { isIPv4, isIPv6, type Socket } from "node:net";
import { peek, type Peeked } from "./peek.ts";

/** What a proxy says about the connection that it passes on. */
export interface ProxyHeader {
  /** Null: the proxy speaks for itself, as in a health check, or does not know. */
  readonly source: { readonly address: string; readonly port: number } | null;
  /** In bytes: what follows is the client's. */
  readonly length: number;
}

/** `more`: what is there may become one. `none`: no PROXY protocol. `broken`: begins like one. */
export type ProxyHeaderResult = ProxyHeader | "more" | "none" | "broken";

const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V1 = Buffer.from("PROXY ");
/** Of version 1, with its CR LF, as its specification bounds it. */
const LONGEST_V1 = 107;
/** Of version 2, after its 16 bytes: addresses of 36 bytes, and what proxies add to them. */
const LONGEST_V2 = 2048;

/** Reads the header of HAProxy's PROXY protocol, version 1 or 2. Never throws. */
export function readProxyHeader(bytes: Buffer): ProxyHeaderResult {
  if (startsAlike(bytes, SIGNATURE)) return bytes.length < 16 ? "more" : version2(bytes);
  if (startsAlike(bytes, V1)) return version1(bytes);
  return "none";
}

function startsAlike(bytes: Buffer, prefix: Buffer): boolean {
  const length = Math.min(bytes.length, prefix.length);
  return bytes.subarray(0, length).equals(prefix.subarray(0, length));
}

function version1(bytes: Buffer): ProxyHeaderResult {
  const end = bytes.subarray(0, LONGEST_V1).indexOf("\r\n");
  if (end === -1) return bytes.length < LONGEST_V1 ? "more" : "broken";
  const length = end + 2;
  const line = bytes.toString("latin1", 0, end);
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { source: null, length };
  const parts = /^PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line);
  if (parts === null) return "broken";
  const [, family, from, to, fromPort, toPort] = parts as unknown as Version1Line;
  const isAddress = family === "TCP4" ? isIPv4 : isIPv6;
  if (!isAddress(from) || !isAddress(to)) return "broken";
  if (Number(fromPort) > 65_535 || Number(toPort) > 65_535) return "broken";
  return { source: { address: from, port: Number(fromPort) }, length };
}

type Version1Line = readonly [
  line: string,
  family: string,
  from: string,
  to: string,
  fromPort: string,
  toPort: string,
];

function version2(bytes: Buffer): ProxyHeaderResult {
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 0x0f;
  const body = bytes.readUInt16BE(14);
  if (version !== 2 || command > 1 || body > LONGEST_V2) return "broken";
  const length = 16 + body;
  if (bytes.length < length) return "more";
  // LOCAL: the proxy's own connection.
  if (command === 0) return { source: null, length };
  switch (bytes[13]) {
    case 0x11:
      if (body < 12) return "broken";
      return { source: { address: ipv4At(bytes, 16), port: bytes.readUInt16BE(24) }, length };
    case 0x21:
      if (body < 36) return "broken";
      return { source: { address: ipv6At(bytes, 16), port: bytes.readUInt16BE(48) }, length };
    case 0x00:
      return { source: null, length };
    default:
      // UDP and Unix sockets: no client of HTTP comes by them.
      return "broken";
  }
}

function ipv4At(bytes: Buffer, at: number): string {
  return [...bytes.subarray(at, at + 4)].join(".");
}

function ipv6At(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  // As others write it: `2001:db8::1`.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

/**
 * Takes a PROXY protocol header off a trusted proxy's connection before anybody else reads from
 * it. A connection without one goes on as it is; one with a broken one is closed.
 */
export function takeProxyHeader(
  socket: Socket,
  done: (source: ProxyHeader["source"] | undefined) => void,
): void {
  peek<ProxyHeader["source"] | undefined>(socket, takenHeader, done);
}

function takenHeader(bytes: Buffer): Peeked<ProxyHeader["source"] | undefined> | "more" | "close" {
  const header = readProxyHeader(bytes);
  if (header === "more") return "more";
  if (header === "broken") return "close";
  if (header === "none") return { found: undefined, rest: bytes };
  return { found: header.source, rest: bytes.subarray(header.length) };
}
