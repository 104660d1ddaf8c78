import type { Duplex } from "node:stream";

export interface JoinEnds {
  /** The origin's side failed. Bytes that tell the Worker's side, or null: it is cut. */
  readonly failed: (error: Error, hasSpoken: boolean) => Buffer | null;
  /**
   * The origin ended its side before it said anything, and before the Worker ended its own. Bytes
   * that tell the Worker's side, or null: it may go on.
   */
  readonly silent: () => Buffer | null;
}

/**
 * Joins a Worker's socket and its origin's until both have ended. Each may end its own side first.
 * An error on one side ends the other.
 */
export function join(client: Duplex, upstream: Duplex, { failed, silent }: JoinEnds): void {
  let hasSpoken = false;
  let isTold = false;
  const tell = (bytes: Buffer | null): void => {
    isTold = true;
    upstream.unpipe(client);
    if (bytes === null || client.destroyed) client.destroy();
    else {
      client.unpipe(upstream);
      endTelling(client, bytes);
    }
  };
  // Its close follows.
  client.on("error", () => {});
  upstream.on("error", (error) => {
    if (!isTold) tell(failed(error, hasSpoken));
  });
  if (client.destroyed) {
    upstream.destroy();
    return;
  }
  if (upstream.destroyed) {
    tell(upstream.errored ? failed(upstream.errored, false) : silent());
    return;
  }
  const endSilently = (): void => {
    if (hasSpoken || client.readableEnded) return;
    const bytes = silent();
    if (bytes === null) return;
    tell(bytes);
    upstream.destroy();
  };
  upstream.once("data", () => (hasSpoken = true));
  // Before that of pipe, which ends the Worker's side. One that has ended says so no more.
  if (upstream.readableEnded) endSilently();
  else upstream.once("end", endSilently);
  if (isTold) return;
  upstream.once("close", () => {
    if (!isTold) endAfter(upstream, client);
  });
  client.once("close", () => endAfter(client, upstream));
  client.pipe(upstream);
  upstream.pipe(client);
}

/**
 * Ends a connection with why it ends. What a driver says meanwhile is read and dropped: a socket that
 * is closed with something unread in it is reset, and the driver would hear of that instead.
 */
export function endTelling(client: Duplex, bytes: Buffer): void {
  client.end(bytes);
  setTimeout(() => client.destroy(), LINGER).unref();
  client.resume();
}

/** ms that a driver has to read why its connection ends. */
const LINGER = 1_000;

/** A stream that ended is still written to its end. A stream that broke is cut. */
function endAfter(closed: Duplex, other: Duplex): void {
  if (closed.readableEnded) other.end(() => other.destroy());
  else other.destroy();
}
