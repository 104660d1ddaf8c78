import { createServer, type Server, type TlsOptions, type TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { ServedCertificate, TlsVersions } from "../../contract/hosts.ts";
import { endFailedHandshakes } from "./tls-options.ts";
import { guarded } from "../../forward/guarded.ts";
import { type HostEntry, type Hosts, plainName } from "./hosts.ts";
import type { LocalLeaves } from "./local-leaves.ts";
import { peekClientHello } from "./client-hello.ts";
import { asOptions } from "./narrow-tls.ts";
import type { Proofs } from "./proofs.ts";
import { isNarrow, type Zones } from "../zones.ts";

export interface ClientHandshakesOptions {
  readonly hosts: Hosts;
  readonly zones: Zones;
  /** Takes handshakes that need no client certificate and allow only one TLS version. */
  narrow(this: void, versions: TlsVersions): Server;
  readonly tls: TlsOptions;
  readonly leaves: LocalLeaves;
  /** They are looked for in the same place. */
  readonly proofs: Proofs;
  /** What a host presents that has no certificate of its own. */
  byDefault(this: void): ServedCertificate;
  /** A handshake that asked for a certificate has ended, with or without one. */
  done(this: void, socket: TLSSocket, entry: HostEntry): void;
}

/**
 * Handshakes that ask for a client certificate. Each host has a TLS server of its own, and so its
 * own keys for session tickets. Therefore a session of one host is never resumed at another host,
 * and no session is resumed that a former CA let in. The host name is read before TLS begins,
 * because it decides which sessions count and whether a certificate is requested.
 */
export class ClientHandshakes {
  readonly #options: ClientHandshakesOptions;
  /**
   * By the host's entry and by the TLS versions that it allows: hosts below one wildcard may be in
   * different zones.
   */
  readonly #servers = new WeakMap<HostEntry, Map<string, KnownServer>>();

  constructor(options: ClientHandshakesOptions) {
    this.#options = options;
  }

  /** Takes the connections of hosts that ask for certificates or take one version alone, and of ACME servers, off a server, and leaves it the others. */
  divert(server: Server): void {
    const accept = server.listeners("connection") as ((socket: Socket) => void)[];
    const serve = (socket: Socket): void => {
      for (const listener of accept) listener.call(server, socket);
    };
    server.removeAllListeners("connection");
    const choose = (socket: Socket): void => {
      const { hosts, zones, narrow, proofs } = this.#options;
      if (!hosts.askForCertificates && !zones.narrowTls && proofs.isIdle) return serve(socket);
      peekClientHello(socket, ({ name, protocols }) => {
        const host = name === null ? null : plainName(name);
        if (host !== null && proofs.take(socket, host, protocols)) return;
        const entry = host === null ? null : hosts.find(host);
        const versions = host === null ? null : zones.find(host);
        if (entry !== null && entry.clients !== null) this.#hand(socket, entry, versions ?? ALL);
        else if (versions === null || !isNarrow(versions)) serve(socket);
        else narrow(versions).emit("connection", socket);
      });
    };
    server.on("connection", (socket: Socket) => guarded(socket, choose)(socket));
  }

  /** A wildcard's connections have one certificate. */
  #hand(socket: Socket, entry: HostEntry, versions: TlsVersions): void {
    const { byDefault, leaves } = this.#options;
    const { certificate, host } = entry.served;
    const leaf = certificate === null ? leaves.find(host) : null;
    if (leaf === null) {
      this.#serverOf(entry, certificate ?? byDefault(), versions).emit("connection", socket);
      return;
    }
    const ended = (): void => void socket.destroy();
    socket.on("error", ended);
    void leaf.then(
      guarded(socket, (local: ServedCertificate | null) => {
        if (socket.destroyed) return;
        this.#serverOf(entry, local ?? byDefault(), versions).emit("connection", socket);
        socket.off("error", ended);
      }),
    );
  }

  #serverOf(entry: HostEntry, { chain, key }: ServedCertificate, versions: TlsVersions): Server {
    const authorities = [...new Set([...(entry.clients?.authorities ?? []), ...entry.access])];
    const terms = JSON.stringify([chain, key, authorities]);
    const servers = this.#servers.get(entry) ?? new Map<string, KnownServer>();
    this.#servers.set(entry, servers);
    const { minTls, maxTls } = versions;
    const known = servers.get(minTls + maxTls);
    if (known?.terms === terms) return known.server;
    const server = createServer({
      ...this.#options.tls,
      ...asOptions(versions),
      cert: chain,
      key,
      ca: authorities,
      // An uploaded CA is a trust anchor, even if another root has signed it.
      allowPartialTrustChain: true,
      requestCert: true,
      // Judged at each request, so that a refusal can be read.
      rejectUnauthorized: false,
    });
    server.on("secureConnection", (socket) => {
      guarded(socket, () => this.#options.done(socket, entry))();
    });
    endFailedHandshakes(server);
    servers.set(minTls + maxTls, { terms, server });
    return server;
  }
}

interface KnownServer {
  readonly terms: string;
  readonly server: Server;
}

/** What the ingress speaks. */
const ALL: TlsVersions = { minTls: "TLSv1.2", maxTls: "TLSv1.3" };
