import assert from "node:assert/strict";
import { createServer, type Server, type ServerResponse } from "node:http";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { defaultOptions } from "../contract/gateway-options.ts";
import { Failure } from "../failures/failures.ts";
import type { Sealed } from "../keys/seal.ts";
import type { OriginConnection, OriginPool, PoolScope } from "./origin/pool.ts";
import { Pools } from "./origin/pools.ts";

const RUNS = Number(process.env["COUNTERSIGN_EVENT_RUNS"] ?? 1_000);

const EVENTS = [
  "request",
  "request",
  "connect()",
  "dial succeeds",
  "dial succeeds",
  "dial fails",
  "answer",
  "abort",
  "error",
  "alert and end",
  "end",
  "close",
  "garbage",
  "unasked answer",
  "rotation",
  "revocation",
  "turn",
  "turn",
] as const;
type Event = (typeof EVENTS)[number];
const event = fc.record({ kind: fc.constantFrom(...EVENTS), at: fc.nat({ max: 9 }) });

test(`whatever happens to its connections, a pool loses no slot and no request, in ${RUNS} orders`, async () => {
  const thrown: unknown[] = [];
  const onThrown = (error: unknown): void => void thrown.push(error);
  process.on("uncaughtException", onThrown).on("unhandledRejection", onThrown);
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 2, maxLength: 16 }),
        fc.integer({ min: 1, max: 2 }),
        async (events, slots) => {
          const world = new World(slots);
          for (const one of events) await world.take(one.kind, one.at);
          await world.settle();
          assert.deepEqual(world.outcomes(), [], "each request ended, and ended once");
          assert.equal(await world.probe(), slots + 1, "every slot is there for the next requests");
          await world.close();
          assert.equal(world.open(), 0, "no connection is left");
          assert.deepEqual(thrown, [], "nothing was thrown out of a listener");
        },
      ),
      { numRuns: RUNS },
    );
  } finally {
    process.off("uncaughtException", onThrown).off("unhandledRejection", onThrown);
  }
});

interface Asked {
  ends: number;
  abort: ((reason: Error) => void) | null;
}

interface Dial {
  succeed(): void;
  fail(error: Error): void;
}

/** Real pools over pipes, and a real server at the other end of those that are dialled. */
class World {
  readonly #server: Server;
  readonly #pools: Pools;
  readonly #acquired: OriginPool[] = [];
  readonly #asked: Asked[] = [];
  readonly #dials: Dial[] = [];
  readonly #ends: { near: Duplex; far: Duplex }[] = [];
  readonly #held: ServerResponse[] = [];
  readonly #raw: Promise<unknown>[] = [];
  #version = 0;
  /** Dials succeed and answers come by themselves. */
  #calm = false;
  #pool: OriginPool;
  readonly #slots: number;

  constructor(slots: number) {
    this.#slots = slots;
    this.#server = createServer((_, response) => {
      if (this.#calm) response.end("ok");
      else this.#held.push(response);
    });
    this.#server.on("clientError", (_, socket) => socket.destroy());
    this.#pools = new Pools(() => this.#dial(), {
      ...defaultOptions,
      http2: false,
      connections: slots,
    });
    this.#pool = this.#acquire();
  }

  async take(kind: Event, at: number): Promise<void> {
    const connection = pick(this.#ends, at);
    switch (kind) {
      case "request":
        this.#request(this.#pool);
        break;
      case "connect()":
        this.#raw.push(
          this.#pool.connect().then(
            (stream) => stream.destroy(),
            () => {},
          ),
        );
        break;
      case "dial succeeds":
        pick(this.#dials, at)?.succeed();
        break;
      case "dial fails":
        pick(this.#dials, at)?.fail(new Failure("origin_refused"));
        break;
      case "answer":
        this.#held.splice(at % Math.max(this.#held.length, 1), 1)[0]?.end("ok");
        break;
      case "abort":
        pick(this.#asked, at)?.abort?.(new Error("the client went away"));
        break;
      case "error":
        connection?.near.destroy(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
        break;
      case "alert and end":
        connection?.near.emit("error", Object.assign(new Error("alert number 42"), { code: "E" }));
        connection?.far.end();
        break;
      case "end":
        connection?.far.end();
        break;
      case "close":
        connection?.far.destroy();
        break;
      case "garbage":
        if (connection?.far.writable) connection.far.write("\u0000\u0001garbage\r\n\r\n");
        break;
      case "unasked answer":
        if (connection?.far.writable)
          connection.far.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
        break;
      case "rotation": {
        const before = this.#pool;
        this.#version += 1;
        this.#pool = this.#acquire();
        this.#pools.release(before);
        break;
      }
      case "revocation":
        this.#pools.cut(
          ({ version }) => version === this.#version,
          () => new Failure("origin_connection_cut"),
        );
        this.#version += 1;
        this.#pool = this.#acquire();
        break;
      case "turn":
        await turn();
    }
  }

  /** What is under way comes to its end: dials that hang time out, connections that stand answer. */
  async settle(): Promise<void> {
    this.#calm = true;
    for (let i = 0; i < 40; i += 1) {
      if (this.outcomes().length === 0 && this.#dials.length === 0) break;
      for (const dial of this.#dials.slice()) dial.fail(new Failure("origin_connect_timeout"));
      for (const response of this.#held.splice(0)) response.end("ok");
      await turn();
    }
    // A request that took an unasked answer for its own has one that is still held.
    for (const response of this.#held.splice(0)) response.end("ok");
    for (const { far } of this.#ends) if (this.outcomes().length > 0) far.destroy();
    for (let i = 0; i < 10; i += 1) await turn();
    await Promise.all(this.#raw);
  }

  /** Those that have not ended once. */
  outcomes(): number[] {
    return this.#asked.map(({ ends }) => ends).filter((ends) => ends !== 1);
  }

  /** One request more than there are slots, on whatever the pool has become. */
  async probe(): Promise<number> {
    const before = this.#asked.length;
    const slots = this.#slots;
    let answered = 0;
    for (let i = 0; i <= slots; i += 1) this.#request(this.#pool, () => (answered += 1));
    for (let i = 0; i < 60; i += 1) {
      if (answered > slots) break;
      await turn();
    }
    assert.equal(this.#asked.length - before, slots + 1);
    return answered;
  }

  open(): number {
    return this.#acquired.reduce((sum, pool) => sum + pool.connections, 0);
  }

  async close(): Promise<void> {
    await this.#pools.close();
    for (const { far } of this.#ends) far.destroy();
    await turn();
  }

  #acquire(): OriginPool {
    const pool = this.#pools.acquire(scopeOf(this.#version));
    this.#acquired.push(pool);
    return pool;
  }

  #dial(): Promise<OriginConnection> {
    return new Promise((resolve, reject) => {
      const succeed = (): void => {
        const [near, far] = duplexPair();
        this.#ends.push({ near, far });
        far.on("error", () => {});
        // As one from a handshake.
        near.on("error", () => {});
        this.#server.emit("connection", far);
        resolve({ stream: near, tlsVersion: null, asked: true, resumable: true, resumed: false });
      };
      if (this.#calm) succeed();
      else {
        const dial: Dial = {
          succeed: () => {
            this.#done(dial);
            succeed();
          },
          fail: (error: Error) => {
            this.#done(dial);
            reject(error);
          },
        };
        this.#dials.push(dial);
      }
    });
  }

  #done(dial: Dial): void {
    const at = this.#dials.indexOf(dial);
    if (at >= 0) this.#dials.splice(at, 1);
  }

  #request(pool: OriginPool, onAnswer: () => void = () => {}): void {
    const asked: Asked = { ends: 0, abort: null };
    this.#asked.push(asked);
    pool.dispatcher.dispatch(
      { path: "/", method: "GET" },
      {
        onRequestStart: (controller) => {
          asked.abort = (reason) => controller.abort(reason);
        },
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd: () => {
          asked.ends += 1;
          asked.abort = null;
          onAnswer();
        },
        onResponseError: () => {
          asked.ends += 1;
          asked.abort = null;
        },
      },
    );
  }
}

function scopeOf(version: number): PoolScope {
  return {
    accountId: "a",
    scriptName: "s",
    bindingName: "B",
    credential: {
      accountId: "a",
      certificateId: "c",
      version,
      chain: "",
      sealedKey: "" as Sealed,
      sealedId: "",
      subject: "CN=client",
      fingerprint: String(version),
      notBefore: 0,
      notAfter: Number.MAX_SAFE_INTEGER,
      allowedHosts: null,
      trust: null,
    },
    trust: { id: "t", publicRoots: false, authorities: [] },
    origin: "https://origin.example",
    destination: { host: "origin.example", port: 443 },
  };
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list.length === 0 ? undefined : list[at % list.length];
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
