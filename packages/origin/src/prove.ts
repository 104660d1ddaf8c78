import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import type { Socket } from "node:net";
import type { Proof } from "./authorizer.ts";
import { coarseClock } from "./coarse-clock.ts";
import { callerFacts } from "./caller.ts";
import { readProxyHeaders, type ProxyFormat } from "./headers/proxy.ts";
import { decide } from "./decide.ts";
import { parsePolicy, type Rule } from "./policy.ts";
import { proveSocket } from "./tls.ts";
import type { Trust } from "./trust.ts";

/** A proxy that ends TLS in front of this server. */
export interface ProxyOptions {
  readonly format: ProxyFormat;
  /** Addresses and CIDR ranges of the proxies. Headers from other addresses are ignored. */
  readonly addresses?: readonly string[];
  /** Proxies that prove who they are with their own certificate, as in the rules of a policy. */
  readonly callers?: readonly Rule[];
}

export interface ProofOptions {
  /**
   * What the certificate is checked against after the handshake: revocations, and CAs that may have changed. Default:
   * nothing.
   */
  readonly trust?: Trust;
  /** Default: none; the certificate is that of the connection itself. */
  readonly proxy?: ProxyOptions;
  /** ms since 1970. Default: the machine's clock, read at most every 100 ms. */
  readonly clock?: () => number;
}

/** @throws TypeError if the proxy's options name no proxy, or an address is not valid */
export function prover({
  trust,
  proxy,
  clock = coarseClock(),
}: ProofOptions): (request: IncomingMessage) => Proof {
  if (proxy === undefined) return ({ socket }) => proveSocket(socket, trust ?? null, clock());
  const isProxy = proxyTest(proxy);
  return (request) => {
    const { socket, headers } = request;
    const now = clock();
    if (!isProxy(socket, now)) return proveSocket(socket, trust ?? null, now);
    const word = readProxyHeaders(proxy.format, headers);
    if (word === "none") return "certificate_missing";
    if (word === "unverified") return "certificate_untrusted";
    if (word === "malformed") return "proxy_header_malformed";
    if (trust?.state.revoked.has(word.serialNumber)) return "certificate_revoked";
    if (word.notAfter !== null && now > word.notAfter.getTime()) return "certificate_expired";
    if (word.notBefore !== null && now < word.notBefore.getTime())
      return "certificate_not_yet_valid";
    return callerFacts(word);
  };
}

function proxyTest({
  addresses = [],
  callers = [],
}: ProxyOptions): (socket: Socket, now: number) => boolean {
  if (addresses.length === 0 && callers.length === 0) {
    throw new TypeError(
      "proxy: name the proxies that are believed, by `addresses` or by `callers`",
    );
  }
  const list = new BlockList();
  for (const address of addresses) addTo(list, address);
  const policy = callers.length === 0 ? null : parsePolicy({ allow: callers });
  return (socket, now) => {
    const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "");
    const family = isIP(address ?? "");
    if (family !== 0 && list.check(address!, family === 6 ? "ipv6" : "ipv4")) return true;
    if (policy === null) return false;
    const proof = proveSocket(socket, null, now);
    return typeof proof !== "string" && decide(policy, proof, { method: "GET", path: "/" }).allowed;
  };
}

function addTo(list: BlockList, range: string): void {
  const [address = "", prefix] = range.split("/");
  const family = isIP(address);
  const bits = Number(prefix ?? (family === 6 ? 128 : 32));
  if (family === 0 || !Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32)) {
    throw new TypeError(`proxy: "${range}" is no address and no CIDR range`);
  }
  list.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
}
