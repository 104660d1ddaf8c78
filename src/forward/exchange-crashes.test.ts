import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { PassThrough, Transform } from "node:stream";
import { test, type TestContext } from "node:test";
import type { Dispatcher } from "undici";
import { forward, forwardUpgrade, type ForwardTarget } from "./forward.ts";
import { MOST_HEADERS } from "./limits.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const broken = new Error("not thought of");

test("what is thrown over a response's head is answered as a failure; its connection stays", async (t) => {
  const scene = await sceneOf(t, {
    answered: () => {
      throw broken;
    },
  });
  scene.head(200, {});
  await scene.says(/^HTTP\/1\.1 502 .*keep-alive.*failed$/s);
  assert.deepEqual(scene.told, [["failed", broken]]);
  assert.deepEqual(scene.aborted, [broken]);
  await scene.again(GET);
});

test("an answerer of failures that throws ends the connection, and is not called again", async (t) => {
  const failed = (): void => {
    scene.told.push(["failed", null]);
    throw broken;
  };
  let scene = await sceneOf(t, { failed });
  scene.handler.onResponseError!(scene.controller, new Error("closed"));
  await scene.closed;
  assert.deepEqual([scene.text, scene.told], ["", [["failed", null]]]);
  scene = await sceneOf(t, {
    failed,
    answered: () => {
      throw new Error("first");
    },
  });
  scene.head(200, {});
  await scene.closed;
  assert.deepEqual([scene.text, scene.told], ["", [["failed", null]]]);
});

test("what is thrown once a head was sent breaks the response off, and its transformation", async (t) => {
  const transform = slow();
  const scene = await sceneOf(t, { answered: () => () => transform });
  scene.controller.resume = () => {
    throw broken;
  };
  scene.head(200, {});
  scene.data("some");
  await scene.closed;
  assert.deepEqual(scene.told, [["ended", broken]]);
  assert.deepEqual(scene.aborted, [broken]);
  assert.ok(transform.destroyed);
  assert.ok(!scene.text.endsWith("0\r\n\r\n"));
});

test("a transformation that fails breaks the response off and calls the origin's off", async (t) => {
  const transform = new Transform({ transform: (_chunk, _encoding, done) => done(broken) });
  const scene = await sceneOf(t, { answered: () => () => transform });
  scene.head(200, {});
  scene.data("some");
  await scene.closed;
  assert.deepEqual(scene.told, [["ended", broken]]);
  assert.deepEqual(scene.aborted, [broken]);
});

test("an origin that breaks off breaks the response and its transformation off", async (t) => {
  const transform = new PassThrough();
  const scene = await sceneOf(t, { answered: () => () => transform });
  scene.head(200, {});
  scene.data("some");
  scene.handler.onResponseError!(scene.controller, broken);
  await scene.closed;
  assert.deepEqual(scene.told, [["ended", broken]]);
  assert.deepEqual(scene.aborted, [], "there is nothing left to be called off");
  assert.ok(transform.destroyed);
});

test("a client that goes away takes its transformation and the origin's request with it", async (t) => {
  const transform = new PassThrough();
  const scene = await sceneOf(t, { answered: () => () => transform });
  scene.head(200, {});
  scene.data("some");
  scene.client.destroy();
  await scene.until(() => scene.told.length > 0);
  assert.equal(codeOf(scene.told[0]![1]), "CLIENT_GONE");
  assert.deepEqual(scene.aborted.map(codeOf), ["CLIENT_GONE"]);
  assert.ok(transform.destroyed);
});

test("who went away before there was a connection needs none any more", async (t) => {
  const scene = await sceneOf(t, {}, GET, "waits");
  scene.client.destroy();
  await scene.until(() => scene.told.length > 0);
  assert.equal(codeOf(scene.told[0]![1]), "CLIENT_GONE");
  assert.deepEqual(scene.aborted, []);
  scene.handler.onRequestStart!(scene.controller, null);
  assert.deepEqual(scene.aborted.map(codeOf), ["CLIENT_GONE"]);
});

test("a head that is too large fails, and one of the largest size is sent", async (t) => {
  // Besides its name and value a field costs `: ` and a line's end.
  const most = "v".repeat(MOST_HEADERS - "x".length - 4);
  const scene = await sceneOf(t, {});
  scene.head(200, { x: `${most}v` });
  assert.deepEqual(scene.aborted.map(codeOf), ["UND_ERR_HEADERS_OVERFLOW"]);
  assert.deepEqual(scene.told, []);
  const fits = await sceneOf(t, {});
  fits.head(200, { x: most });
  assert.deepEqual(fits.aborted, []);
});

test("a status without a name has no reason phrase of ours", async (t) => {
  const scene = await sceneOf(t, {});
  scene.head(599, {});
  await scene.says(/^HTTP\/1\.1 599 \r\n/);
});

test("an origin that is faster than its client is held up once, until that has read", async (t) => {
  const sink = slow();
  const scene = await sceneOf(t, { answered: () => () => sink });
  scene.head(200, {});
  scene.data("one".padEnd(2_000));
  scene.data("two".padEnd(2_000));
  assert.deepEqual([scene.paused, scene.resumed], [2, 0]);
  await scene.says(/two/);
  await scene.until(() => scene.resumed > 0);
  await turns();
  assert.equal(scene.resumed, 1);
  scene.data("three");
  await scene.until(() => scene.resumed > 1);
});

test("small pieces of a response go out together, and after many of them others have their turn", async (t) => {
  const scene = await sceneOf(t, {});
  scene.head(200, {});
  for (const piece of ["a", "b", "c"]) scene.data(piece);
  await scene.says(/\r\n3\r\nabc\r\n$/);
  for (let i = 0; i < 256; i += 1) scene.data("d");
  assert.deepEqual([scene.paused, scene.resumed], [1, 0]);
  await scene.says(/\r\n100\r\nd{256}\r\n$/);
  await scene.until(() => scene.resumed === 1);
  scene.data("e");
  scene.handler.onResponseEnd!(scene.controller, {});
  await scene.says(/\r\n1\r\ne\r\n0\r\n\r\n$/);
});

test("a client that still uploads after a failure is cut after two seconds", async (t) => {
  const scene = await sceneOf(t, {}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  scene.handler.onResponseError!(scene.controller, broken);
  await scene.says(/keep-alive.*failed$/s);
  t.mock.timers.tick(1_999);
  await turns();
  assert.ok(!scene.client.destroyed);
  t.mock.timers.tick(1);
  await scene.closed;
});

test("a client that has sent all of it by then keeps its connection", async (t) => {
  for (const [first, rest] of [
    ["half", "other"],
    ["", "a whole 1"],
    ["a whole 1", ""],
  ] as const) {
    const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    const scene = await sceneOf(t, {}, `${head}${first}`);
    (scene.options.body as NodeJS.ReadableStream).on("error", () => {}).resume();
    if (rest === "") await once(scene.options.body as NodeJS.ReadableStream, "end");
    t.mock.timers.enable({ apis: ["setTimeout"] });
    scene.head(200, { "content-length": "2" });
    scene.data("ok");
    scene.handler.onResponseEnd!(scene.controller, {});
    await scene.says(/ok$/);
    scene.client.write(rest);
    await turns();
    t.mock.timers.tick(2_000);
    await scene.again(GET);
    t.mock.timers.reset();
  }
});

test("a request that only mentions an upgrade is none", async (t) => {
  const upgrade = "Connection: upgrade\r\nUpgrade: odd\r\n";
  const scene = await sceneOf(t, {}, GET.replace("\r\n\r\n", `\r\n${upgrade}\r\n`));
  assert.equal(scene.options.upgrade, null);
});

test("an upgrade is asked for by its name, and not a second time", async (t) => {
  const head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\n";
  const refused = await sceneOf(t, { mayRetry: () => assert.fail("asked") }, head, "upgrades");
  refused.handler.onResponseError!(refused.controller, broken);
  await refused.says(/^HTTP\/1\.1 502 .*failed$/s);
  assert.deepEqual(refused.told, [["failed", broken]]);
  const { options } = await sceneOf(t, {}, head, "upgrades");
  assert.equal(options.upgrade, "odd");
});

/** One that is full with each piece, and takes a while for it. */
function slow(): Transform {
  return new Transform({
    highWaterMark: 1,
    transform: (chunk, _, done) => void setImmediate(done, null, chunk),
  });
}

/** A client's real connection, and a dispatcher whose part the test takes. */
interface Scene {
  readonly client: Socket;
  /** All that came back. */
  readonly text: string;
  readonly closed: Promise<void>;
  readonly handler: Dispatcher.DispatchHandler;
  readonly options: Dispatcher.DispatchOptions;
  readonly controller: Dispatcher.DispatchController;
  readonly aborted: Error[];
  readonly told: (readonly ["ended" | "failed", Error | null])[];
  readonly paused: number;
  readonly resumed: number;
  head(status: number, headers: IncomingHttpHeaders): void;
  data(text: string): void;
  until(holds: () => boolean): Promise<void>;
  says(text: RegExp): Promise<void>;
  /** Another request on the same connection reaches the dispatcher. */
  again(head: string): Promise<void>;
}

async function sceneOf(
  t: TestContext,
  said: Partial<ForwardTarget>,
  head: string = GET,
  how: "sent" | "waits" | "upgrades" = "sent",
): Promise<Scene> {
  let [text, paused, resumed, dispatched] = ["", 0, 0, 0];
  const aborted: Error[] = [];
  const told: (readonly ["ended" | "failed", Error | null])[] = [];
  const sent = Promise.withResolvers<[Dispatcher.DispatchOptions, Dispatcher.DispatchHandler]>();
  const dispatch: Dispatcher["dispatch"] = (options, handler) => {
    dispatched += 1;
    sent.resolve([options, handler]);
    return true;
  };
  const target: ForwardTarget = {
    dispatcher: { dispatch } as Dispatcher,
    path: "/",
    failed: (error, _, response) => {
      told.push(["failed", error]);
      response.writeHead(502, { "content-length": 6 }).end("failed");
    },
    ended: (error) => void told.push(["ended", error]),
    ...said,
  };
  const server = createServer((request, response) => forward(request, response, target));
  if (how === "upgrades") {
    server.on("upgrade", (request, socket, first) => {
      forwardUpgrade(request, socket, first, target);
    });
  }
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.on("error", () => {}).on("data", (chunk) => (text += chunk.toString("latin1")));
  t.after(() => {
    client.destroy();
    server.close().closeAllConnections();
  });
  client.write(head);
  const [options, handler] = await sent.promise;
  const controller = {
    abort: (error: Error) => void aborted.push(error),
    pause: () => (paused += 1),
    resume: () => (resumed += 1),
  } as never as Dispatcher.DispatchController;
  if (how !== "waits") handler.onRequestStart!(controller, null);
  return {
    client,
    closed,
    handler,
    options,
    controller,
    aborted,
    told,
    until,
    get text() {
      return text;
    },
    get paused() {
      return paused;
    },
    get resumed() {
      return resumed;
    },
    head: (status, headers) => handler.onResponseStart!(controller, status, headers),
    data: (chunk) => handler.onResponseData!(controller, Buffer.from(chunk)),
    says: (wanted) => until(() => wanted.test(text)),
    again: (another) => {
      const before = dispatched;
      client.write(another);
      return until(() => dispatched > before);
    },
  };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turns(1);
}

function codeOf(error: NodeJS.ErrnoException | null): string | undefined {
  return error?.code;
}

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
