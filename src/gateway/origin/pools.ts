import type { Socket } from "node:net";
import { Failure } from "../../failures/failures.ts";
import type { Credential } from "../../certificates/credential.ts";
import type { GatewayOptions } from "../../contract/gateway-options.ts";
import { StalledReaders } from "../../network/stalled-readers.ts";
import { systemClock, type Clock } from "../clock.ts";
import { OriginPool, poolKey, type Open, type PoolScope } from "./pool.ts";

/**
 * Every pool of the gateway, by its key. Bindings share a pool only if all of the key is equal
 * (two generations of one Worker do). A pool that no binding uses drains.
 */
export class Pools {
  readonly #open: Open;
  readonly #options: GatewayOptions;
  readonly #clock: Clock;
  readonly #active: Map<string, { readonly pool: OriginPool; users: number }> = new Map();
  readonly #draining: Set<OriginPool> = new Set();

  constructor(open: Open, options: GatewayOptions, clock: Clock = systemClock) {
    const readers = new StalledReaders(options.timeouts.body);
    this.#open = async (scope, how) => {
      const connection = await open(scope, how);
      const { stream } = connection;
      const cut = (): void => void stream.destroy(notReading(scope));
      readers.connection(stream as Socket, cut);
      return connection;
    };
    this.#clock = clock;
    this.#options = options;
  }

  /** Each call is to be paired with a `release`. */
  acquire(scope: PoolScope): OriginPool {
    const key = poolKey(scope);
    let entry = this.#active.get(key);
    if (entry === undefined) {
      entry = {
        pool: new OriginPool(scope, {
          open: this.#open,
          options: this.#options,
          clock: this.#clock,
        }),
        users: 0,
      };
      this.#active.set(key, entry);
    }
    entry.users += 1;
    return entry.pool;
  }

  release(pool: OriginPool): void {
    const entry = this.#active.get(pool.key);
    // A pool that was cut may have a successor under its key.
    if (entry === undefined || entry.pool !== pool) return;
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#active.delete(pool.key);
    this.#draining.add(pool);
    void pool.drain().finally(() => this.#draining.delete(pool));
  }

  /** Ends every connection of the pools that `chosen` is true for, drained ones too. */
  cut(
    chosen: (credential: Credential) => boolean,
    failure: (pool: OriginPool, credential: Credential) => Failure,
  ): void {
    for (const pool of this.all()) {
      const { credential } = pool.scope;
      if (credential === null || !chosen(credential)) continue;
      this.#active.delete(pool.key);
      this.#draining.delete(pool);
      pool.cut(failure(pool, credential));
    }
  }

  all(): OriginPool[] {
    return [...[...this.#active.values()].map(({ pool }) => pool), ...this.#draining];
  }

  /** Resolves when every connection is closed. */
  async close(): Promise<void> {
    const pools = this.all();
    for (const pool of pools) {
      pool.cut(new Failure("gateway_unavailable", { message: "the gateway was stopped" }));
    }
    await Promise.all(pools.map((pool) => pool.drain()));
    this.#active.clear();
    this.#draining.clear();
  }
}

function notReading({ origin, destination: { host, port } }: PoolScope): Failure {
  const message = `${origin} takes nothing of what is sent to it`;
  return new Failure("origin_not_reading", { message, facts: { host, port } });
}
