import type { Socket } from "node:net";
import { createServer, type Server, type TlsOptions } from "node:tls";
import { guarded } from "../../forward/guarded.ts";
import type { Challenges } from "../challenges.ts";
import { endFailedHandshakes } from "./tls-options.ts";

/** What an ACME server offers by ALPN, and nothing beside it (RFC 8737). */
const PROTOCOL = "acme-tls/1";

/** Handshakes of ACME servers that ask for a proof in TLS itself (TLS-ALPN-01). */
export class Proofs {
  readonly #challenges: Challenges;
  readonly #tls: TlsOptions;
  /** The key authorization → who presents its proof. Those of orders that have ended are forgotten. */
  readonly #servers = new Map<string, Promise<Server>>();

  /** @param tls of all handshakes */
  constructor(challenges: Challenges, tls: TlsOptions) {
    this.#challenges = challenges;
    this.#tls = tls;
  }

  /** Nothing is asked for: connections need not be looked at. */
  get isIdle(): boolean {
    return this.#challenges.isEmpty;
  }

  /** @returns whether an order of ours is asked for its proof: the connection is taken then */
  take(socket: Socket, host: string, protocols: readonly string[]): boolean {
    if (protocols.length !== 1 || protocols[0] !== PROTOCOL) return false;
    const keyAuthorization = this.#challenges.proofOf(host);
    if (keyAuthorization === null) return false;
    const ended = (): void => void socket.destroy();
    socket.on("error", ended);
    void this.#serverOf(host, keyAuthorization).then(
      guarded(socket, (server: Server) => {
        if (socket.destroyed) return;
        server.emit("connection", socket);
        socket.off("error", ended);
      }),
      ended,
    );
    return true;
  }

  #serverOf(host: string, keyAuthorization: string): Promise<Server> {
    const known = this.#servers.get(keyAuthorization);
    if (known !== undefined) return known;
    for (const one of this.#servers.keys()) {
      if (!this.#challenges.has(one)) this.#servers.delete(one);
    }
    const made = this.#make(host, keyAuthorization);
    made.catch(() => this.#servers.delete(keyAuthorization));
    this.#servers.set(keyAuthorization, made);
    return made;
  }

  async #make(host: string, keyAuthorization: string): Promise<Server> {
    // Loaded for an order that wants it.
    const { acmeProof } = await import("../../certificates/acme-proof.ts");
    const { chain: cert, key } = await acmeProof(host, keyAuthorization);
    const server = createServer({ ...this.#tls, cert, key, ALPNProtocols: [PROTOCOL] });
    // The handshake is the proof.
    server.on("secureConnection", (socket) => {
      socket.on("error", () => socket.destroy()).end();
    });
    endFailedHandshakes(server);
    return server;
  }
}
