export interface IngressPlan {
  readonly requests: readonly {
    readonly connections: number;
    readonly rounds: number;
    readonly seconds: number;
  }[];
  readonly handshakes: {
    readonly connections: number;
    readonly rounds: number;
    readonly seconds: number;
  };
  /** TLS connections that are kept open. */
  readonly idle: number;
}

/** About eight minutes. */
export const fullIngressPlan: IngressPlan = {
  requests: [
    { connections: 16, rounds: 5, seconds: 3 },
    { connections: 1, rounds: 3, seconds: 2 },
  ],
  handshakes: { connections: 16, rounds: 5, seconds: 2 },
  idle: 10_000,
};

/** About two minutes. */
export const quickIngressPlan: IngressPlan = {
  requests: [{ connections: 16, rounds: 3, seconds: 1 }],
  handshakes: { connections: 16, rounds: 1, seconds: 2 },
  idle: 2_000,
};
