import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Sealed } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import type { Credential } from "../../certificates/credential.ts";
import { defaultOptions } from "../../contract/gateway-options.ts";
import { poolKey, type OriginPool, type PoolScope } from "./pool.ts";
import { Pools } from "./pools.ts";

const RUNS = Number(process.env["COUNTERSIGN_POOL_RUNS"] ?? 1_000);

test(`no request is answered over another key's connection, in ${RUNS} interleavings`, async () => {
  const credentials = someCredentials();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async (steps) => {
      const world = new World(credentials);
      try {
        for (const one of steps) await world.take(one);
      } finally {
        await world.close();
      }
    }),
    { numRuns: RUNS },
  );
});

test("two scopes share a key only if every part of it is equal", () => {
  const [credential] = someCredentials();
  const scope = scopeOf(FIRST, [credential!]);
  const others: PoolScope[] = [
    { ...scope, accountId: "b" },
    { ...scope, scriptName: "b" },
    { ...scope, bindingName: "b" },
    { ...scope, origin: "https://b" },
    { ...scope, trust: { ...scope.trust, id: "b" } },
    { ...scope, credential: { ...credential!, version: 9 } },
    { ...scope, credential: { ...credential!, certificateId: "b" } },
    { ...scope, credential: { ...credential!, fingerprint: "b" } },
    { ...scope, credential: null },
    // What would be equal if parts were only joined.
    { ...scope, accountId: `${scope.accountId}","${scope.scriptName}`, scriptName: "" },
  ];
  const keys = new Set([scope, ...others].map(poolKey));
  assert.equal(keys.size, others.length + 1);
  assert.equal(poolKey({ ...scope }), poolKey(scope));
});

test("an origin gets 512 connections of a binding; further requests wait for one of them", async () => {
  let dialled = 0;
  const pools = new Pools(
    () => {
      dialled += 1;
      return new Promise(() => {});
      // Over HTTP/2 one connection is enough, and is waited for.
    },
    { ...defaultOptions, http2: false },
  );
  const pool = pools.acquire(scopeOf(FIRST, someCredentials()));
  let failed = 0;
  for (let i = 0; i < 520; i += 1) {
    pool.dispatcher.dispatch(
      { path: "/", method: "GET" },
      {
        onRequestStart: () => {},
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd: () => {},
        onResponseError: () => (failed += 1),
      },
    );
  }
  await turn();
  assert.equal(dialled, 512);
  assert.equal(failed, 0, "they wait");
  pools.cut(
    () => true,
    () => new Failure("origin_connection_cut"),
  );
  await turn();
  assert.equal(failed, 520);
});

test("a pool is shared by all who may use it, and drains with the last of them", async () => {
  const pools = quiet();
  const scope = scopeOf(FIRST, someCredentials());
  const pool = pools.acquire(scope);
  assert.equal(pools.acquire({ ...scope }), pool);
  pools.release(pool);
  assert.equal(pools.acquire(scope), pool, "one still uses it");
  pools.release(pool);
  pools.release(pool);
  const next = pools.acquire(scope);
  assert.notEqual(next, pool);
  assert.deepEqual(pools.all(), [next, pool]);
  await turn();
  assert.deepEqual(pools.all(), [next], "it had nothing in flight");
  pools.release(pool);
  assert.equal(pools.acquire(scope), next, "a release is its pool's, and not the next one's");
});

test("what is cut is gone at once, drained or not; others, and what presents nothing, go on", async () => {
  const pools = quiet();
  const [first, second] = someCredentials();
  const scope = scopeOf(FIRST, [first!]);
  const cut = pools.acquire(scope);
  const drained = pools.acquire({ ...scope, bindingName: "other" });
  pools.release(drained);
  const kept = pools.acquire({ ...scope, credential: second! });
  const bare = pools.acquire({ ...scope, credential: null });
  const failure = new Failure("origin_connection_cut");
  const seen: unknown[] = [];
  pools.cut(
    (credential) => credential === first,
    (pool, credential) => (seen.push(pool, credential), failure),
  );
  assert.deepEqual(seen, [cut, first, drained, first]);
  assert.deepEqual(pools.all(), [kept, bare]);
  await assert.rejects(cut.connect(), (error) => error === failure);
  const next = pools.acquire(scope);
  assert.notEqual(next, cut);
  pools.release(cut);
  assert.equal(pools.acquire(scope), next);
});

test("a gateway that is stopped has no pools, and says so", async () => {
  const pools = quiet();
  const pool = pools.acquire(scopeOf(FIRST, someCredentials()));
  await pools.close();
  assert.deepEqual(pools.all(), []);
  await assert.rejects(pool.connect(), {
    code: "gateway_unavailable",
    message: "the gateway was stopped",
  });
});

const FIRST: Choice = { account: 0, script: 0, binding: 0, version: 0, trust: 0, origin: 0 };

/** Pools that no connection is asked of. */
function quiet(): Pools {
  return new Pools(() => assert.fail("connected"), { ...defaultOptions, http2: false });
}

interface Choice {
  readonly account: number;
  readonly script: number;
  readonly binding: number;
  readonly version: number;
  readonly trust: number;
  readonly origin: number;
}

type Step =
  | { readonly kind: "request"; readonly of: Choice; readonly hold: boolean }
  | { readonly kind: "answer" | "abort" | "close connection"; readonly at: number }
  | { readonly kind: "release"; readonly at: number }
  | { readonly kind: "cut"; readonly version: number }
  | { readonly kind: "turn" };

const two = fc.nat({ max: 1 });
const choice: fc.Arbitrary<Choice> = fc.record({
  account: two,
  script: two,
  binding: two,
  version: two,
  trust: two,
  origin: two,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("request"), of: choice, hold: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("answer", "abort", "close connection"),
      at: fc.nat({ max: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release"), at: fc.nat({ max: 20 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut"), version: two }) },
  { weight: 3, arbitrary: fc.constant({ kind: "turn" }) },
);

/** Real pools and a real HTTP server, joined by pipes that remember whom they were opened for. */
class World {
  readonly #credentials: readonly Credential[];
  readonly #pools: Pools;
  readonly #acquired: OriginPool[] = [];
  readonly #server: Server;
  readonly #openedFor: WeakMap<object, string> = new WeakMap();
  readonly #connections: Duplex[] = [];
  readonly #held: ServerResponse[] = [];
  readonly #abort: ((reason: Error) => void)[] = [];
  readonly #requests: Promise<void>[] = [];

  constructor(credentials: readonly Credential[]) {
    this.#credentials = credentials;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#pools = new Pools(
      (scope) => {
        const [near, far] = duplexPair();
        this.#openedFor.set(far, identity(scope));
        this.#connections.push(far);
        far.on("error", () => {});
        this.#server.emit("connection", far);
        return Promise.resolve({
          stream: near,
          tlsVersion: null,
          asked: true,
          resumable: true,
          resumed: false,
        });
      },
      { ...defaultOptions, http2: false, connections: 2 },
    );
  }

  async take(one: Step): Promise<void> {
    switch (one.kind) {
      case "request":
        this.#request(scopeOf(one.of, this.#credentials), one.hold);
        break;
      case "answer":
        pick(this.#held, one.at)?.end();
        break;
      case "abort":
        pick(this.#abort, one.at)?.(new Error("aborted"));
        break;
      case "close connection":
        pick(this.#connections, one.at)?.destroy();
        break;
      case "release": {
        const pool = pick(this.#acquired, one.at);
        if (pool !== undefined) {
          this.#acquired.splice(this.#acquired.indexOf(pool), 1);
          this.#pools.release(pool);
        }
        break;
      }
      case "cut":
        this.#pools.cut(
          ({ version }) => version === one.version,
          () => new Failure("origin_connection_cut"),
        );
        break;
      case "turn":
        await turn();
    }
  }

  async close(): Promise<void> {
    for (const response of this.#held) response.end();
    await this.#pools.close();
    await Promise.all(this.#requests);
    for (const connection of this.#connections) connection.destroy();
  }

  #request(scope: PoolScope, hold: boolean): void {
    const pool = this.#pools.acquire(scope);
    this.#acquired.push(pool);
    const wanted = identity(scope);
    this.#requests.push(
      new Promise((fulfil, reject) => {
        pool.dispatcher.dispatch(
          { path: "/", method: "GET", headers: { "x-key": wanted, "x-hold": String(hold) } },
          {
            onRequestStart: (controller) => {
              this.#abort.push((reason) => controller.abort(reason));
            },
            onResponseStart: (_, status, headers) => {
              // The server says over whose connection it came, and whose request it was.
              if (status !== 200 || headers["x-key"] !== wanted) {
                reject(
                  new Error(
                    `${wanted} was answered with what belongs to ${String(headers["x-key"])}`,
                  ),
                );
              }
            },
            onResponseData: () => {},
            onResponseEnd: () => fulfil(),
            onResponseError: () => fulfil(),
          },
        );
      }),
    );
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const key = this.#openedFor.get(request.socket)!;
    response.writeHead(request.headers["x-key"] === key ? 200 : 500, { "x-key": key });
    if (request.headers["x-hold"] === "true") this.#held.push(response);
    else response.end();
  }
}

/** Written down apart from `poolKey`, which is what is judged here. */
function identity({ credential, trust, ...scope }: PoolScope): string {
  return JSON.stringify({
    ...scope,
    certificate: credential && [
      credential.certificateId,
      credential.version,
      credential.fingerprint,
    ],
    trust: trust.id,
  });
}

function scopeOf(of: Choice, credentials: readonly Credential[]): PoolScope {
  return {
    accountId: `account ${of.account}`,
    scriptName: `script ${of.script}`,
    bindingName: `binding ${of.binding}`,
    credential: credentials[of.version]!,
    trust: { id: `trust ${of.trust}`, publicRoots: false, authorities: [] },
    origin: `https://origin${of.origin}.example`,
    destination: { host: `origin${of.origin}.example`, port: 443 },
  };
}

function someCredentials(): Credential[] {
  return [1, 2].map((version, index) => ({
    accountId: "a",
    certificateId: "c",
    version: index,
    chain: "",
    sealedKey: "" as Sealed,
    sealedId: "",
    subject: "CN=client",
    fingerprint: `fingerprint ${version}`,
    notBefore: 0,
    notAfter: Number.MAX_SAFE_INTEGER,
    allowedHosts: null,
    trust: null,
  }));
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list.length === 0 ? undefined : list[at % list.length];
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
