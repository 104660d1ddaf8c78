import { setTimeout as delay } from "node:timers/promises";
import { buildConnector, Pool } from "undici";

/** One generation of a Worker, as the ingress reaches it. */
export class Upstream {
  readonly dispatcher: Pool;
  readonly #retired = new AbortController();

  /** @param socket relative to the working directory */
  constructor(socket: string) {
    this.dispatcher = new Pool("http://worker", {
      connect: patientConnector(socket, this.#retired.signal),
      // A Worker may stream for as long as its client listens.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 131_072,
    });
  }

  /** Resolves when the last request has ended. */
  async retire(): Promise<void> {
    this.#retired.abort();
    await this.dispatcher.close();
  }
}

/**
 * A request waits in its pool while this connects: nothing of it was sent, so a Worker that is
 * started again right after a crash gets it once. A Worker that has been gone for longer than
 * that is refused at once, but still tried.
 */
function patientConnector(socket: string, retired: AbortSignal): buildConnector.connector {
  const connect = buildConnector({ socketPath: socket, timeout: 1000 });
  let goneSince: number | null = null;
  return (options, callback) => {
    const attempt = (): void =>
      connect(options, (...result) => {
        const [error] = result;
        if (error === null) {
          goneSince = null;
          callback(...result);
          return;
        }
        goneSince ??= performance.now();
        if (retired.aborted || performance.now() - goneSince > PATIENCE) callback(...result);
        else void delay(PAUSE).then(attempt);
      });
    attempt();
  };
}

/** ms that a request waits for its Worker to come back */
const PATIENCE = 1_500;
const PAUSE = 25;
