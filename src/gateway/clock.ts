/** The gateway's clock. Tests replace it. */
export interface Clock {
  /** Unix time in ms. */
  now(): number;
  /** Calls back once after `ms`. The returned function cancels it. It keeps no process running. */
  after(ms: number, ring: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms).unref();
    return () => clearTimeout(timer);
  },
};
