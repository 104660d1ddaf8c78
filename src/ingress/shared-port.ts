import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { listenFailure } from "../network/listen-failure.ts";
import { boundPort, type Handle } from "../process/held-socket.ts";
import { PassedHandle } from "../process/passed-handle.ts";

export interface SharedPortOptions {
  /** What listens there: `the ingress` */
  readonly what: string;
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

/**
 * A port for several processes to accept from, whichever is free. This process only holds it: it listens
 * as soon as one of them does, and what connects while none runs waits for the next one.
 */
export class SharedPort {
  readonly passed: PassedHandle;
  readonly port: number;
  readonly #handle: Handle;

  private constructor(handle: Handle, port: number) {
    this.#handle = handle;
    this.passed = new PassedHandle(handle);
    this.port = port;
  }

  /** @throws Failure `port_in_use`, `port_not_permitted`, `address_not_here`, `address_unknown` */
  static async open({ what, host, port }: SharedPortOptions): Promise<SharedPort> {
    try {
      const { address, family } = isIP(host)
        ? { address: host, family: isIP(host) }
        : await lookup(host);
      const bound = boundPort(address, port, family);
      return new SharedPort(bound.handle, bound.port);
    } catch (error) {
      throw listenFailure(what, { host, port }, error as NodeJS.ErrnoException);
    }
  }

  close(): void {
    this.#handle.close();
  }
}
