import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route } from "./route.ts";
import { UsedRoutes } from "./used-routes.ts";

/** Routes with as much as is looked at, made in the order in which they are asked for. */
class World {
  now = 1_000;
  /** `made a`, `released a`: in the order in which it happened. */
  log: string[] = [];
  readonly refused: Set<string> = new Set();
  readonly connections: Map<string, number> = new Map();
  until = Infinity;
  readonly routes: UsedRoutes = new UsedRoutes({
    route: (origin) => this.#make(origin),
    release: (route) => void this.log.push(`released ${nameOf(route)}`),
    clock: { now: () => this.now, after: () => assert.fail("it waits for nothing") },
  });

  #make(origin: string): Route {
    if (this.refused.has(origin)) throw new Error(`${origin} may not be reached`);
    this.log.push(`made ${origin}`);
    const { connections } = this;
    const pool = {
      scope: { origin },
      get connections() {
        return connections.get(origin) ?? 0;
      },
    };
    return { pool, until: this.until, used: true } as never;
  }

  /** What happened since it was asked for last. */
  seen(): string[] {
    const { log } = this;
    this.log = [];
    return log;
  }
}

function nameOf(route: Route): string {
  return route.pool.scope.origin;
}

test("an origin has one route as long as it counts", () => {
  const world = new World();
  world.until = 2_000;
  const first = world.routes.to("a");
  assert.notEqual(world.routes.to("b"), first);
  world.now = 1_999;
  assert.equal(world.routes.to("a"), first);
  assert.deepEqual(world.seen(), ["made a", "made b"]);
});

test("at its certificate's end a route is found again, and so is what else is in use", () => {
  const world = new World();
  world.until = 2_000;
  const first = world.routes.to("a");
  world.routes.to("b");
  world.seen();
  world.now = 2_000;
  world.until = 3_000;
  const second = world.routes.to("a");
  assert.notEqual(second, first);
  assert.equal(second.until, 3_000);
  assert.deepEqual(world.seen(), ["made a", "made b", "released a", "released b"]);
  assert.equal(world.routes.to("a"), second);
  assert.deepEqual(world.seen(), []);
});

test("a connection that has ended and was not in use since the last sweep is found as well", () => {
  const world = new World();
  world.until = 2_000;
  world.routes.to("a");
  world.connections.set("a", 1);
  world.routes.sweep();
  world.seen();
  world.now = 2_000;
  world.until = 3_000;
  assert.equal(world.routes.to("a").until, 3_000);
  assert.deepEqual(world.seen(), ["released a", "made a"]);
});

test("a connection to an address that is no longer allowed ends, its next request learns why, and the others stay", () => {
  const world = new World();
  for (const origin of ["a", "b", "c"]) world.routes.to(origin);
  world.seen();
  world.refused.add("b");
  world.routes.refresh();
  assert.deepEqual(world.seen(), ["made a", "made c", "released a", "released b", "released c"]);
  assert.throws(() => world.routes.to("b"), /^Error: b may not be reached$/);
  world.refused.delete("b");
  world.routes.to("b");
  assert.deepEqual(world.seen(), ["made b"]);
});

test("a route goes with the second sweep after its last request, unless it has connections", () => {
  const world = new World();
  world.routes.to("a");
  world.routes.to("b");
  world.connections.set("b", 1);
  world.seen();
  world.routes.sweep();
  assert.deepEqual(world.seen(), []);
  world.routes.to("a");
  world.routes.sweep();
  assert.deepEqual(world.seen(), [], "it was used meanwhile");
  world.routes.sweep();
  assert.deepEqual(world.seen(), ["released a"]);
  world.connections.delete("b");
  world.routes.sweep();
  assert.deepEqual(world.seen(), ["released b"]);
  world.routes.to("a");
  assert.deepEqual(world.seen(), ["made a"]);
});

test("what nobody has used since the last sweep is not found again by a change", () => {
  const world = new World();
  world.routes.to("a");
  world.connections.set("a", 1);
  world.routes.sweep();
  world.seen();
  world.routes.refresh();
  assert.deepEqual(world.seen(), ["released a"]);
});

test("a closed binding has given each of its routes back, once", () => {
  const world = new World();
  world.routes.to("a");
  world.routes.to("b");
  world.seen();
  world.routes.releaseAll();
  world.routes.releaseAll();
  assert.deepEqual(world.seen(), ["released a", "released b"]);
});

test("of 256 routes the oldest without connections makes room; if all have some, the oldest", () => {
  const world = new World();
  for (let i = 0; i < 256; i += 1) {
    world.routes.to(`${i}`);
    if (i !== 7) world.connections.set(`${i}`, 1);
  }
  const released = (): string[] => world.seen().filter((one) => one.startsWith("released"));
  assert.deepEqual(released(), []);
  world.connections.delete("9");
  world.routes.to("new");
  assert.deepEqual(released(), ["released 7"]);
  world.routes.to("newer");
  assert.deepEqual(released(), ["released 9"]);
  for (const name of ["new", "newer"]) world.connections.set(name, 1);
  world.routes.to("newest");
  assert.deepEqual(released(), ["released 0"]);
  world.routes.to("1");
  assert.deepEqual(released(), [], "those that are known need no room");
});

test("an origin that may not be reached takes nobody's room", () => {
  const world = new World();
  for (let i = 0; i < 256; i += 1) world.routes.to(`${i}`);
  world.seen();
  world.refused.add("x");
  assert.throws(() => world.routes.to("x"));
  assert.deepEqual(world.seen(), []);
});
