import { createServer, type SecureContextOptions, type Server, type TlsOptions } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { ServedCertificate, TlsVersions } from "../../contract/hosts.ts";
import { guarded } from "../../forward/guarded.ts";
import { endFailedHandshakes, TLS_OPTIONS } from "./tls-options.ts";

export interface NarrowTlsOptions {
  /** With what finds a host's certificate by its name. */
  readonly tls: TlsOptions;
  byDefault(this: void): ServedCertificate;
  /** A handshake has ended. */
  done(this: void, socket: TLSSocket): void;
}

/**
 * Handshakes of hosts whose zone takes one version of TLS alone. OpenSSL has chosen the version before
 * it asks for a name's certificate, so each version has a server of its own; its tickets are resumed
 * by no other.
 */
export class NarrowTls {
  readonly #options: NarrowTlsOptions;
  readonly #servers = new Map<string, Server>();

  constructor(options: NarrowTlsOptions) {
    this.#options = options;
  }

  serverFor(versions: TlsVersions): Server {
    const known = this.#servers.get(versions.minTls);
    if (known !== undefined) return known;
    const { tls, byDefault, done } = this.#options;
    const { chain: cert, key } = byDefault();
    const server = createServer({ ...tls, ...asOptions(versions), cert, key });
    server.on("secureConnection", (socket) => guarded(socket, () => done(socket))());
    endFailedHandshakes(server);
    this.#servers.set(versions.minTls, server);
    return server;
  }

  /** Swaps the default certificate. */
  presentByDefault({ chain: cert, key }: ServedCertificate): void {
    for (const [version, server] of this.#servers) {
      const versions = { minTls: version, maxTls: version } as TlsVersions;
      server.setSecureContext({ ...TLS_OPTIONS, ...asOptions(versions), cert, key });
    }
  }
}

export function asOptions({ minTls, maxTls }: TlsVersions): SecureContextOptions {
  return { minVersion: minTls, maxVersion: maxTls };
}
