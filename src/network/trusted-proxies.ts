import parseForwarded from "forwarded-parse";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { plainAddress, Ranges } from "./ranges.ts";

export interface ProxyOptions {
  /** CIDRs of proxies that are trusted to name the client. Empty: none. */
  readonly trusted: readonly string[];
  /** Which header they set: `X-Forwarded-For` and `-Proto`, or `Forwarded` (RFC 7239). Never both: a client writes the other. */
  readonly header: "x-forwarded" | "forwarded";
}

export const noProxies: ProxyOptions = { trusted: [], header: "x-forwarded" };

/** The sender of a request, as far as the trusted proxies say. */
export interface Client {
  /** Null: there is no connection, as in a test. */
  readonly address: string | null;
  /** What the client spoke to the proxy. Null: no trusted proxy says. */
  readonly scheme: "http" | "https" | null;
}

/** More hops than any chain of proxies has: what is beyond is not looked at. */
const MOST_HOPS = 32;

/** Finds the client of a connection that may come through proxies. */
export class TrustedProxies {
  readonly #options: ProxyOptions;
  readonly #trusted: Ranges;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#trusted = new Ranges(options.trusted);
  }

  trusts(address: string): boolean {
    return this.#trusted.has(plainAddress(address));
  }

  /**
   * The rightmost address that is no trusted proxy's: what stands left of it was written by a
   * stranger. Never throws.
   * @param peer the other end of the connection
   */
  client(peer: string | undefined, headers: IncomingHttpHeaders): Client {
    if (peer === undefined) return { address: null, scheme: null };
    const nearest = plainAddress(peer);
    if (!this.trusts(nearest)) return { address: nearest, scheme: null };
    const hops = this.#options.header === "forwarded" ? forwarded(headers) : xForwarded(headers);
    let address = nearest;
    for (const text of hops.addresses.slice(-MOST_HOPS).toReversed()) {
      const hop = addressIn(text);
      // An unknown or hidden address: the proxy that says so is the last known address.
      if (hop === null) break;
      address = hop;
      if (!this.trusts(hop)) break;
    }
    return { address, scheme: hops.scheme };
  }
}

interface Hops {
  /** From the client to the nearest proxy, as they are written. */
  readonly addresses: readonly string[];
  readonly scheme: Client["scheme"];
}

function xForwarded(headers: IncomingHttpHeaders): Hops {
  const list = (name: string): string[] => {
    const text = String(headers[name] ?? "");
    return text === "" ? [] : text.split(",").map((part) => part.trim());
  };
  return {
    addresses: list("x-forwarded-for"),
    scheme: schemeIn(list("x-forwarded-proto").at(-1)),
  };
}

function forwarded({ forwarded: header }: IncomingHttpHeaders): Hops {
  if (header === undefined) return { addresses: [], scheme: null };
  try {
    const elements = parseForwarded(header);
    return {
      addresses: elements.map((element) => element["for"] ?? "unknown"),
      scheme: schemeIn(elements.at(-1)?.["proto"]),
    };
  } catch {
    // An entry to the left of the proxy cannot be parsed, so the proxy is the last known address.
    return { addresses: [], scheme: null };
  }
}

function schemeIn(text: string | undefined): Client["scheme"] {
  const scheme = text?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : null;
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711` */
function addressIn(text: string): string | null {
  if (isIP(text) !== 0) return plainAddress(text);
  const bare = /^(?:\[([0-9a-f:.]+)\]|([\d.]+))(?::\d{1,5})?$/i.exec(text);
  const address = bare?.[1] ?? bare?.[2];
  return address === undefined || isIP(address) === 0 ? null : plainAddress(address);
}

const forwardingHeaders = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
  "x-forwarded-server",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "x-original-forwarded-for",
  "x-original-host",
  "x-envoy-external-address",
];

/** Whether somebody between says that it handed the request on. */
export function wasForwarded(headers: IncomingHttpHeaders): boolean {
  return forwardingHeaders.some((name) => headers[name] !== undefined);
}
