import type { Clock } from "./clock.ts";
import type { Route } from "./route.ts";

/** Where routes come from, and go back to. */
interface RouteSource {
  /** @param origin `https://host[:port]`, as written. @throws Failure if it may not be reached now */
  route(origin: string): Route;
  release(route: Route): void;
  readonly clock: Clock;
}

/** The routes that one binding uses, by origin. No more than `MOST_ROUTES`: the oldest go. */
export class UsedRoutes {
  readonly #source: RouteSource;
  #routes: Map<string, Route> = new Map();

  constructor(source: RouteSource) {
    this.#source = source;
  }

  /** @param origin `https://host[:port]`, as written. @throws Failure if it may not be reached now */
  to(origin: string): Route {
    const known = this.#routes.get(origin);
    if (known !== undefined && known.until > this.#source.clock.now()) {
      known.used = true;
      return known;
    }
    if (known !== undefined) this.refresh();
    const renewed = this.#routes.get(origin);
    if (renewed !== undefined) return renewed;
    const route = this.#source.route(origin);
    if (this.#routes.size >= MOST_ROUTES) this.#evict();
    this.#routes.set(origin, route);
    return route;
  }

  /**
   * Something that routes depend on has changed: each route is looked up again, under the current
   * rules.
   */
  refresh(): void {
    const old = this.#routes;
    this.#routes = new Map();
    for (const [origin, route] of old) {
      if (!route.used) continue;
      try {
        this.#routes.set(origin, this.#source.route(origin));
      } catch {
        // The next request gets the reason.
      }
    }
    // Released after the new ones were acquired, so that an unchanged pool is kept.
    for (const route of old.values()) this.#source.release(route);
  }

  /**
   * The same, but the connections that the routes are going to need are made first, as many as they have.
   * @param until of `performance.now()`: then the change is in force whatever is missing
   */
  async prepareAndRefresh(until: number): Promise<void> {
    const prepared: Route[] = [];
    for (const [origin, { used, pool }] of this.#routes) {
      if (!used || pool.connections === 0) continue;
      try {
        const next = this.#source.route(origin);
        prepared.push(next);
        if (next.pool !== pool) await next.pool.prepare(pool, until);
      } catch {
        // The next request gets the reason.
      }
    }
    this.refresh();
    for (const route of prepared) this.#source.release(route);
  }

  /** Lets go of routes that no request has used since the last sweep. */
  sweep(): void {
    for (const [origin, route] of this.#routes) {
      if (route.used || route.pool.connections > 0) {
        route.used = false;
      } else {
        this.#routes.delete(origin);
        this.#source.release(route);
      }
    }
  }

  releaseAll(): void {
    for (const route of this.#routes.values()) this.#source.release(route);
    this.#routes.clear();
  }

  /** The oldest route goes, if possible one without connections. What is in flight on it ends. */
  #evict(): void {
    let oldest: [string, Route] | undefined;
    for (const entry of this.#routes) {
      oldest ??= entry;
      if (entry[1].pool.connections > 0) continue;
      oldest = entry;
      break;
    }
    this.#routes.delete(oldest![0]);
    this.#source.release(oldest![1]);
  }
}

/** Origins that one binding has routes and pools for. */
const MOST_ROUTES = 256;
