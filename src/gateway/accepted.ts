import { spawn } from "node:child_process";
import { isIP, isIPv6 } from "node:net";
import type { DatabaseProtocol } from "../contract/database.ts";
import { keyIn } from "../contract/key-in.ts";
import { Failure } from "../failures/failures.ts";
import { dial, type Network } from "./origin/dial.ts";
import type { Destination } from "./origin/destination.ts";

/**
 * The CAs that origins accept. They are found out when an origin has refused a certificate, and
 * kept for ten minutes, so that a Worker in a loop does not start programs in a loop.
 */
export class Acceptance {
  readonly #network: (scope: Asking) => Network;
  readonly #most: number;
  /** By who asks and what of; the oldest go first. */
  readonly #known: Map<string, Promise<readonly string[] | null>> = new Map();
  /** Bindings for which a program runs. */
  readonly #asking: Set<string> = new Set();

  /** @param most programs at once */
  constructor(network: (scope: Asking) => Network, most: number) {
    this.#network = network;
    this.#most = most;
  }

  /** The same failure; if it is a refusal, with the CAs that the origin says it accepts. */
  async explain(failure: Failure, scope: Asking): Promise<Failure> {
    const accepted = await this.#of(scope);
    if (accepted === null) return failure;
    const { code, message, fix, facts, cause } = failure;
    const list = accepted.length === 0 ? "any CA, it says" : accepted.join("; ");
    return new Failure(code, {
      message: `${message}; it accepts certificates of ${list}`,
      facts: { ...facts, acceptedAuthorities: accepted },
      fix,
      cause,
    });
  }

  /**
   * A Worker can name any number of hosts and ports. Refusals above its share are not explained.
   */
  #of(scope: Asking): Promise<readonly string[] | null> {
    const { accountId, scriptName, bindingName, destination } = scope;
    const binding = keyIn(accountId, scriptName, bindingName);
    const key = `${binding} ${destination.host} ${destination.port}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#asking.has(binding) || this.#asking.size >= this.#most) return Promise.resolve(null);
    this.#asking.add(binding);
    const asked = this.#ask(scope).finally(() => this.#asking.delete(binding));
    this.#known.set(key, asked);
    if (this.#known.size > KEPT_AT_MOST) this.#known.delete(this.#known.keys().next().value!);
    void this.#forgetLater(key, asked);
    return asked;
  }

  async #forgetLater(key: string, asked: Promise<readonly string[] | null>): Promise<void> {
    const kept = (await asked) === null ? FAILED_KEPT : KEPT;
    setTimeout(() => {
      if (this.#known.get(key) === asked) this.#known.delete(key);
    }, kept).unref();
  }

  async #ask(scope: Asking): Promise<readonly string[] | null> {
    const { destination } = scope;
    try {
      const socket = await dial(destination, this.#network(scope));
      const address = socket.remoteAddress;
      socket.destroy();
      return address === undefined ? null : await acceptedAuthorities(address, destination);
    } catch {
      // The origin was reachable a moment ago. What is known already is reported without this.
      return null;
    }
  }
}

/** Is it about our certificate, as far as can be told? */
export function refusesCertificate({ code }: Failure): boolean {
  return code.startsWith("origin_refused_certificate_") || code === "origin_closed_first_read";
}

/** For whom an origin is asked. */
export interface Asking {
  readonly accountId: string;
  readonly scriptName: string;
  readonly bindingName: string;
  readonly destination: Destination;
}

/** In ms. */
const KEPT = 600_000;
/** For results that could not be found out: long enough that no program starts in a loop. */
const FAILED_KEPT = 10_000;
const KEPT_AT_MOST = 256;

/**
 * The CAs that an origin says it accepts client certificates from. Node reads this part of the
 * handshake and does not hand it out, so OpenSSL's own client is asked, without a certificate.
 * Null: it is not installed, or did not get that far.
 * @param address where the origin was found: checked already
 */
export async function acceptedAuthorities(
  address: string,
  { host, port }: Destination,
  signal?: AbortSignal,
  protocol: DatabaseProtocol | null = null,
): Promise<readonly string[] | null> {
  const at = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  const name = isIP(host) === 0 ? ["-servername", host] : ["-noservername"];
  const begins = protocol === null ? [] : ["-starttls", protocol];
  const options = ["-connect", at, ...name, ...begins, "-nameopt", "RFC2253"];
  const child = spawn("openssl", ["s_client", ...options], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: TIMEOUT,
    ...(signal === undefined ? {} : { signal }),
  });
  const failed = new Promise<null>((fulfil) => child.once("error", () => fulfil(null)));
  const output = await Promise.race([text(child.stdout), failed]);
  return output === null ? null : parseAuthorities(output);
}

/** @param output of `openssl s_client`. Null: it says nothing of a request for a certificate. */
export function parseAuthorities(output: string): readonly string[] | null {
  if (/^No client certificate CA names sent$/m.test(output)) return [];
  const match =
    /^Acceptable client certificate CA names\n((?:(?!---|Requested |Client Cert|Peer ).+\n)*)/m.exec(
      output,
    );
  return match === null ? null : match[1]!.split("\n").filter((line) => line !== "");
}

/** In ms. */
const TIMEOUT = 5_000;

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const chunk of stream) all += String(chunk);
  return all;
}
