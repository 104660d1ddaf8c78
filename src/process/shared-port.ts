import { boundPort, type Handle } from "./held-socket.ts";
import { PassedHandle } from "./passed-handle.ts";

/**
 * A port that processes of ours accept from, whichever is free. They may have no right to it, as to those
 * below 1,024. This process only holds it: it listens as soon as one of them does, and what connects while
 * none runs waits for the next one.
 */
export class SharedPort {
  readonly port: number;
  readonly passed: PassedHandle;
  readonly #handle: Handle;

  private constructor(port: number, handle: Handle) {
    this.port = port;
    this.#handle = handle;
    this.passed = new PassedHandle(handle);
  }

  /**
   * @param address port 0: a free one
   * @throws Error with the system's `code`: `EADDRINUSE`, `EACCES`, `ENOTFOUND`, …
   */
  static async open(address: {
    readonly host: string;
    readonly port: number;
  }): Promise<SharedPort> {
    const { port, handle } = await boundPort(address);
    return new SharedPort(port, handle);
  }

  close(): void {
    this.#handle.close();
  }
}
