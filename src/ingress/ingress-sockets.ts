import { listenFailure } from "../network/listen-failure.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import { SharedPort } from "../process/shared-port.ts";
import { SharedSocket } from "../process/shared-socket.ts";
import { ABSENT_SOCKET, type HeldByIngress, type WantedAddress } from "./protocol.ts";

/**
 * Where the ingress listens. Its supervisor binds all of it, so its processes need no right to a port or a
 * folder, and each one that takes over finds its clients waiting.
 */
export class IngressSockets {
  /** With the ports that were found. */
  readonly address: WantedAddress;
  readonly all: ReadonlyMap<HeldByIngress, PassedHandle>;
  readonly #open: readonly (SharedPort | SharedSocket)[];

  private constructor(address: WantedAddress, { http, https, absent }: Bound) {
    this.address = {
      ...address,
      port: http.port,
      https: https === null ? null : { ...address.https!, port: https.port },
    };
    this.all = new Map<HeldByIngress, PassedHandle>([
      ["absent", absent.passed],
      ["http", http.passed],
      ...(https === null ? [] : [["https", https.passed] as const]),
    ]);
    this.#open = [http, absent, ...(https === null ? [] : [https])];
  }

  /** @throws Failure `port_in_use`, `port_not_permitted`, `address_not_here`, `address_unknown` */
  static async open(runDirectory: string, address: WantedAddress): Promise<IngressSockets> {
    const https =
      address.https === null ? null : await openPort("the ingress over TLS", address.https);
    try {
      const http = await openPort("the ingress", address);
      // Links to it are in folders that decide who may connect.
      const absent = new SharedSocket(runDirectory, ABSENT_SOCKET, 0o666);
      return new IngressSockets(address, { http, https, absent });
    } catch (error) {
      https?.close();
      throw error;
    }
  }

  close(): void {
    for (const socket of this.#open) socket.close();
  }
}

interface Bound {
  readonly http: SharedPort;
  readonly https: SharedPort | null;
  readonly absent: SharedSocket;
}

async function openPort(
  what: string,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<SharedPort> {
  try {
    return await SharedPort.open({ host, port });
  } catch (error) {
    throw listenFailure(what, { host, port }, error as NodeJS.ErrnoException);
  }
}
