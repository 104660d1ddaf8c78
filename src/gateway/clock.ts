/** Time, as everything in the gateway takes it: tests set it. */
export interface Clock {
  /** Unix time in ms. */
  now(): number;
  /** Rings once after `ms`; what is returned calls it off. It keeps no process running. */
  after(ms: number, ring: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms).unref();
    return () => clearTimeout(timer);
  },
};
