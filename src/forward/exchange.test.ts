import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough, Transform } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Dispatcher } from "undici";
import { forward, type ForwardTarget } from "./forward.ts";

const RUNS = Number(process.env["COUNTERSIGN_EVENT_RUNS"] ?? 2_000);

const EVENTS = [
  "start",
  "head",
  "odd head",
  "early head",
  "data",
  "end",
  "error",
  "refused",
  "drain",
  "client closes",
  "upload data",
  "upload ends",
  "upload breaks",
  "turn",
] as const;
type Event = (typeof EVENTS)[number];
/** What of the target throws, as code that nobody has thought of may. */
const THROWING = [
  "nothing",
  "answered",
  "failed",
  "ended",
  "mayRetry",
  "transform",
  "resume",
] as const;

test(`a request ends once and throws into no listener, in ${RUNS} orders of events`, async () => {
  const thrown: unknown[] = [];
  const onThrown = (error: unknown): void => void thrown.push(error);
  process.on("uncaughtException", onThrown);
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...EVENTS), { minLength: 1, maxLength: 14 }),
        fc.constantFrom(...THROWING),
        fc.boolean(),
        async (events, throwing, hasBody) => {
          const world = new World(throwing, hasBody);
          for (const event of events) await world.take(event);
          await world.finish();
          assert.deepEqual(thrown, [], "nothing was thrown out of a listener");
          assert.equal(world.told, 1, "the target was told once how it ended");
          assert.ok(world.response.ended || world.response.destroyed, "its client was told too");
          assert.ok(!world.bodyUnderWay, "nobody reads its upload any more");
        },
      ),
      { numRuns: RUNS },
    );
  } finally {
    process.off("uncaughtException", onThrown);
  }
});

/** As much of a response as what forwards requests uses. */
class FakeResponse extends EventEmitter {
  headersSent = false;
  ended = false;
  destroyed = false;
  shouldKeepAlive = true;
  writableLength = 0;
  #full = false;

  get writableEnded(): boolean {
    return this.ended;
  }
  get writableFinished(): boolean {
    return this.ended && !this.destroyed;
  }
  writeHead(status: number, _reason: unknown, headers: unknown): this {
    if (this.headersSent) throw new Error("ERR_HTTP_HEADERS_SENT");
    if (JSON.stringify(headers ?? "").includes("odd")) throw new TypeError("ERR_INVALID_CHAR");
    void status;
    this.headersSent = true;
    return this;
  }
  flushHeaders(): void {}
  write(): boolean {
    this.#full = !this.#full;
    return this.#full;
  }
  end(): this {
    if (this.ended || this.destroyed) return this;
    this.ended = true;
    setImmediate(() => this.emit("close"));
    return this;
  }
  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    setImmediate(() => this.emit("close"));
    return this;
  }
}

class FakeRequest extends PassThrough {
  readonly method = "POST";
  readonly url = "/";
  readonly headers = {};
  complete = false;
  readonly rawHeaders: string[];
  readonly socket = { destroy: () => void this.destroy() };

  constructor(hasBody: boolean) {
    super();
    this.rawHeaders = hasBody ? ["transfer-encoding", "chunked"] : [];
    this.on("error", () => {});
    this.on("end", () => (this.complete = true));
  }
}

class World {
  told = 0;
  readonly response = new FakeResponse();
  readonly #request: FakeRequest;
  readonly #throwing: (typeof THROWING)[number];
  #handler: Dispatcher.DispatchHandler | null = null;
  #body: NodeJS.ReadableStream | null = null;
  /** As undici has it: nothing is called of an exchange that has not begun, or has ended. */
  #state: "waits" | "sent" | "answers" | "over" = "waits";

  constructor(throwing: (typeof THROWING)[number], hasBody: boolean) {
    this.#throwing = throwing;
    this.#request = new FakeRequest(hasBody);
    const target: ForwardTarget = {
      dispatcher: {
        dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => {
          this.#handler = handler;
          this.#body = options.body as NodeJS.ReadableStream | null;
          this.#body?.on("error", () => {}).resume();
          this.#state = "waits";
          return true;
        },
      } as never as Dispatcher,
      path: "/",
      failed: (_error, _request, response) => {
        this.told += 1;
        this.#may("failed");
        response.writeHead(502, "", {});
        response.end();
      },
      ended: () => {
        this.told += 1;
        this.#may("ended");
      },
      answered: () => {
        this.#may("answered");
        if (this.#throwing !== "transform") return undefined;
        return () =>
          new Transform({ transform: (_chunk, _encoding, done) => done(new Error("no coding")) });
      },
      mayRetry: (error) => {
        this.#may("mayRetry");
        return error.message === "refused";
      },
    };
    forward(
      this.#request as never as IncomingMessage,
      this.response as never as ServerResponse,
      target,
    );
  }

  get bodyUnderWay(): boolean {
    const body = this.#body as { destroyed?: boolean; readableEnded?: boolean } | null;
    return body !== null && this.#state !== "over" && !body.destroyed && !body.readableEnded;
  }

  async take(event: Event): Promise<void> {
    const { response } = this;
    const handler = this.#handler!;
    switch (event) {
      case "start":
        if (this.#state !== "waits") break;
        this.#state = "sent";
        handler.onRequestStart!(this.#controller, null);
        break;
      case "early head":
        if (this.#state === "sent") handler.onResponseStart!(this.#controller, 103, {});
        break;
      case "head":
      case "odd head":
        if (this.#state !== "sent") break;
        this.#state = "answers";
        handler.onResponseStarted?.();
        handler.onResponseStart!(
          this.#controller,
          200,
          event === "odd head" ? { "x-odd": "odd" } : { "x-a": "1" },
        );
        break;
      case "data":
        if (this.#state === "answers") {
          handler.onResponseData!(this.#controller, Buffer.from("data"));
        }
        break;
      case "end":
        if (this.#state !== "answers") break;
        this.#state = "over";
        handler.onResponseEnd!(this.#controller, {});
        break;
      case "error":
      case "refused":
        this.#fail(new Error(event));
        break;
      case "drain":
        response.emit("drain");
        break;
      case "client closes":
        response.destroy();
        break;
      case "upload data":
        if (!this.#request.writableEnded) this.#request.write("data");
        break;
      case "upload ends":
        this.#request.end();
        break;
      case "upload breaks":
        this.#request.destroy(new Error("gone"));
        break;
      case "turn":
        await turn();
    }
  }

  /** A connection is found, and ends, if nothing else has. */
  async finish(): Promise<void> {
    for (let i = 0; i < 12 && (this.told === 0 || this.#state !== "over"); i += 1) {
      // What still waits for a connection is begun, and then called off, if nobody wants it.
      await this.take("start");
      this.#fail(new Error("closed"));
      await turn();
      await turn();
    }
    this.response.destroy();
    await turn();
    await turn();
  }

  readonly #controller = {
    paused: false,
    aborted: false,
    reason: null,
    pause: () => {},
    resume: () => this.#may("resume"),
    abort: (error: Error) => this.#fail(error),
  } as never as Dispatcher.DispatchController;

  #fail(error: Error): void {
    if (this.#state === "over") return;
    this.#state = "over";
    (this.#body as { destroy?(): void } | null)?.destroy?.();
    this.#handler!.onResponseError!(this.#controller, error);
  }

  #may(what: (typeof THROWING)[number]): void {
    if (this.#throwing === what) throw new TypeError(`not thought of in ${what}`);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
