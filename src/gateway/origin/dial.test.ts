import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, Socket, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { AddressPolicy } from "../../network/addresses.ts";
import { closedEarly, destroyedBy, dial, type Network } from "./dial.ts";
import { defaultOptions } from "../../contract/gateway-options.ts";

const addresses = { allow: [], deny: [], development: false, denyLocalPorts: [] };

function network(resolve: Network["resolve"]): Network {
  return {
    policy: new AddressPolicy(addresses),
    timeouts: { ...defaultOptions.timeouts, dns: 20, connect: 50 },
    resolve,
  };
}

test("a name that does not resolve in time says so", async () => {
  const silent = network(() => new Promise(() => {}));
  await assert.rejects(dial({ host: "slow.example", port: 443 }, silent), {
    code: "origin_name_timeout",
    message: '"slow.example" did not resolve within 20 ms',
  });
});

test("a resolver's failure is reported with its code", async () => {
  const broken = network(() =>
    Promise.reject(Object.assign(new Error("no"), { code: "EAI_AGAIN" })),
  );
  await assert.rejects(dial({ host: "broken.example", port: 443 }, broken), {
    code: "origin_name_not_found",
    message: '"broken.example" does not resolve (EAI_AGAIN)',
  });
});

test("a name without an address is refused", async () => {
  const empty = network(() => Promise.resolve([]));
  await assert.rejects(dial({ host: "empty.example", port: 443 }, empty), {
    code: "origin_address_refused",
    message: '"empty.example" has no address',
    facts: { host: "empty.example", port: 443 },
  });
});

test("who is refused learns what the name means, and which rule is against it", async () => {
  const inside = network(() => Promise.resolve(addressed("127.0.0.1", "169.254.169.254")));
  await assert.rejects(dial({ host: "inside.example", port: 443 }, inside), {
    message:
      '"inside.example" means 127.0.0.1, 169.254.169.254, and bindings do not connect there: it is loopback',
    facts: {
      host: "inside.example",
      port: 443,
      addresses: ["127.0.0.1", "169.254.169.254"],
      why: "it is loopback",
    },
  });
});

test("of an origin's several addresses none is connected to that bindings may not reach", async (t) => {
  const { port, reached } = await listening(t, "127.0.0.2");
  const policy = new AddressPolicy({ ...addresses, development: true, deny: ["127.0.0.2"] });
  const at = ["127.0.0.2", "127.0.0.3"];
  await assert.rejects(dial({ host: "a.example", port, at }, { ...network(unasked), policy }), {
    code: "origin_refused",
  });
  assert.deepEqual(reached, []);
});

for (const by of ["their own", "a name"]) {
  test(`of an origin's addresses, known by ${by}, another is tried where one does not answer`, async (t) => {
    const { port } = await listening(t, "127.0.0.2");
    const two = ["127.0.0.3", "127.0.0.2"];
    const resolve = by === "a name" ? () => Promise.resolve(addressed(...two)) : unasked;
    const destination = { host: "a.example", port, at: by === "a name" ? ["b.example"] : two };
    for (const random of [0, 0.9]) {
      t.mock.method(Math, "random", () => random);
      const socket = await dial(destination, here(resolve));
      assert.equal(socket.remoteAddress, "127.0.0.2");
      socket.destroy();
    }
  });
}

test("the connections to an origin with several addresses are shared among them", async (t) => {
  const { port } = await listening(t, "0.0.0.0");
  const seen = [];
  for (const random of [0, 0.5, 0.9]) {
    t.mock.method(Math, "random", () => random);
    const at = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    const socket = await dial({ host: "a.example", port, at }, here(unasked));
    seen.push(socket.remoteAddress);
    socket.destroy();
  }
  assert.deepEqual(seen, ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
});

test("in development a host leads to where it is told to", async (t) => {
  const { port } = await listening(t, "127.0.0.2");
  const hosts = { "api.example": `127.0.0.2:${port}` };
  const policy = new AddressPolicy({ ...addresses, development: true, hosts });
  const socket = await dial({ host: "api.example", port: 443 }, { ...here(unasked), policy });
  assert.deepEqual([socket.remoteAddress, socket.remotePort], ["127.0.0.2", port]);
  socket.destroy();
});

test("only a connection for raw bytes goes on after its origin has ended its side", async (t) => {
  const { port } = await listening(t, "127.0.0.1", (socket) => socket.end());
  for (const raw of [false, true]) {
    const socket = await dial({ host: "127.0.0.1", port }, here(unasked), ...(raw ? [true] : []));
    await once(socket.resume(), "end");
    await new Promise(setImmediate);
    assert.equal(socket.writable, raw);
    socket.destroy();
  }
});

test("once it is made, a connection has no time to be made in, and cannot be called off", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { port } = await listening(t, "127.0.0.1");
  const cancel = new AbortController();
  const socket = await dial(
    { host: "127.0.0.1", port },
    { ...here(unasked), signal: cancel.signal },
  );
  t.mock.timers.tick(60_000);
  cancel.abort(new Error("too late"));
  assert.ok(!socket.destroyed);
  // Nobody listens yet.
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.destroy(new Error("reset"));
  await closed;
});

test("an origin that accepts no connection in time is told with its addresses", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { socket, dialled } = await unanswered(t);
  t.mock.timers.tick(49);
  assert.ok(!socket.destroyed);
  t.mock.timers.tick(1);
  await assert.rejects(dialled, {
    code: "origin_connect_timeout",
    message: "a.example:443 (192.0.2.1, 192.0.2.2) did not accept a connection within 50 ms",
    facts: {
      host: "a.example",
      port: 443,
      addresses: ["192.0.2.1", "192.0.2.2"],
      timeoutMs: 50,
    },
  });
});

test("a connection that closes without a word, or is called off, keeps nobody waiting", async (t) => {
  const one = await unanswered(t);
  one.socket.destroy();
  await assert.rejects(one.dialled, {
    code: "origin_handshake_reset",
    message: /^connecting to a\.example:443 \(192\.0\.2\.1, 192\.0\.2\.2\): .* \(ECONNRESET\)$/,
  });
  const cancel = new AbortController();
  const other = await unanswered(t, cancel.signal);
  const why = new Error("nobody waits");
  cancel.abort(why);
  await assert.rejects(other.dialled, (error) => error === why);
});

test("what is called off before it begins is ended at once, and afterwards not at all", () => {
  const why = new Error("nobody waits");
  const ended: unknown[] = [];
  const socket = { destroy: (error: Error) => ended.push(error) } as never;
  destroyedBy(AbortSignal.abort(why), socket);
  assert.deepEqual(ended, [why]);
  destroyedBy(undefined, socket)();
  assert.equal(closedEarly().message, "the connection closed");
});

/** A dial that waits for an answer of its origin. */
async function unanswered(
  t: TestContext,
  signal?: AbortSignal,
): Promise<{ readonly socket: Socket; readonly dialled: Promise<unknown> }> {
  const made = Promise.withResolvers<Socket>();
  const connecting = t.mock.method(Socket.prototype, "connect", function (this: Socket) {
    made.resolve(this);
    return this;
  });
  const two = network(() => Promise.resolve(addressed("192.0.2.1", "192.0.2.2")));
  const dialled = dial({ host: "a.example", port: 443 }, { ...two, signal });
  dialled.catch(() => {});
  const socket = await made.promise;
  connecting.mock.restore();
  return { socket, dialled };
}

/** A server on this machine, and who came. */
async function listening(
  t: TestContext,
  address: string,
  meet: (socket: Socket) => void = () => {},
): Promise<{ readonly port: number; readonly reached: unknown[] }> {
  const reached: unknown[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    reached.push(socket.on("error", () => {}));
    t.after(() => socket.destroy());
    meet(socket);
  });
  await once(server.listen(0, address), "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, reached };
}

/** Where this machine may be reached. */
function here(resolve: Network["resolve"]): Network {
  const policy = new AddressPolicy({ ...addresses, development: true });
  return { policy, timeouts: { ...defaultOptions.timeouts }, resolve };
}

function addressed(...all: readonly string[]): { address: string; family: number }[] {
  return all.map((address) => ({ address, family: 4 }));
}

function unasked(): never {
  throw new Error("no name is looked up");
}

test("a name is resolved once, and what was judged is what is connected to", async () => {
  let lookups = 0;
  // A rebinding name: allowed the first time, loopback from then on.
  const rebinding = network(() => {
    lookups += 1;
    const address = lookups === 1 ? "192.0.2.1" : "127.0.0.1";
    return Promise.resolve([{ address, family: 4 }]);
  });
  await assert.rejects(dial({ host: "rebind.example", port: 9 }, rebinding), (error: Error) =>
    error.message.includes("192.0.2.1"),
  );
  assert.equal(lookups, 1);
  await assert.rejects(dial({ host: "rebind.example", port: 9 }, rebinding), {
    code: "origin_address_refused",
  });
});

test("of a name's addresses only the allowed ones are tried", async () => {
  const mixed = network(() =>
    Promise.resolve([
      { address: "127.0.0.1", family: 4 },
      { address: "192.0.2.1", family: 4 },
    ]),
  );
  await assert.rejects(dial({ host: "mixed.example", port: 9 }, mixed), (error: Error) => {
    assert.doesNotMatch(error.message, /127\.0\.0\.1/);
    return true;
  });
});

test("a look-up that is too slow is called off", async () => {
  let signal: AbortSignal | undefined;
  const slow = network((_, given) => {
    signal = given;
    return new Promise(() => {});
  });
  await assert.rejects(dial({ host: "slow.example", port: 443 }, slow), {
    code: "origin_name_timeout",
  });
  assert.equal(signal?.aborted, true);
});

for (const when of ["while its name is looked up", "before it began"]) {
  test(`a dial that is called off ${when} ends at once with the reason`, async () => {
    const cancel = new AbortController();
    const timeouts = { ...defaultOptions.timeouts, dns: 20_000 };
    const silent = { ...network(() => new Promise(() => {})), timeouts, signal: cancel.signal };
    const why = new Error("nobody waits");
    if (when.startsWith("before")) cancel.abort(why);
    const dialled = dial({ host: "slow.example", port: 9 }, silent);
    cancel.abort(why);
    await assert.rejects(dialled, (error) => error === why);
  });
}
