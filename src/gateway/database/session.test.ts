import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { createSecureContext, createServer, type TLSSocket } from "node:tls";
import { databaseConfig } from "../../../test/helpers/databases.ts";
import { makeAuthority, type TestCertificate } from "../../../test/helpers/pki.ts";
import { defaultOptions } from "../../contract/gateway-options.ts";
import { Failure } from "../../failures/failures.ts";
import { AddressPolicy } from "../../network/addresses.ts";
import { Places } from "./places.ts";
import type { DriverOpening, Protocol } from "./protocol.ts";
import { DatabaseSession } from "./session.ts";

const ADDRESSES = { allow: [], deny: [], development: true, denyLocalPorts: [] };
const authority = await makeAuthority();
const named = await authority.issue({ subject: "CN=db", dns: ["localhost"] });
const elsewhere = await authority.issue({ subject: "CN=db", dns: ["elsewhere.example"] });
const { chain: cert, key } = await authority.issue({ subject: "CN=client" });
const context = createSecureContext({ ca: authority.pem, cert, key });

interface World {
  readonly session: DatabaseSession;
  /** The Worker's end of the driver's connection. */
  readonly driver: Socket;
  /** The server's end, once there is one. */
  readonly server: Promise<TLSSocket>;
  /** The connections that the server has got. */
  readonly raw: readonly Socket[];
  /** Resolves when the gateway knows that the driver is gone. */
  readonly left: Promise<unknown>;
  /** The server's connection breaks. */
  readonly reset: () => void;
  readonly told: unknown[][];
  readonly places: Places;
  /** What the driver got until its connection was over. */
  readonly said: () => Promise<string>;
}

interface WorldOptions {
  readonly open?: (opening: DriverOpening) => Promise<TLSSocket | null>;
  readonly connectionLimit?: number;
  readonly session?: number;
  readonly connect?: number;
  readonly verifyName?: boolean;
  readonly presents?: boolean;
  readonly shown?: TestCertificate;
  /** The server's name is looked up until then. */
  readonly resolved?: Promise<void>;
}

/** A database that speaks nothing, with real TLS. Refusals are the code of the failure. */
async function world(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const { open = secured, connectionLimit = 60, presents = true, shown = named } = options;
  const server = createServer({
    cert: shown.chain,
    key: shown.key,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const port = await listening(t, server);
  server.on("tlsClientError", () => {});
  const raw: Socket[] = [];
  server.on("connection", (one: Socket) => raw.push(one));
  const met = once(server, "secureConnection").then(([socket]: TLSSocket[]) => {
    t.after(() => socket!.destroy());
    return socket!.on("error", () => {});
  });
  const drivers = createTcpServer({ allowHalfOpen: true });
  const driver = connect({
    port: await listening(t, drivers),
    host: "127.0.0.1",
    allowHalfOpen: true,
  }).on("error", () => {});
  t.after(() => driver.destroy());
  const [socket] = (await once(drivers, "connection")) as [Socket];
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  const told: unknown[][] = [];
  const places = new Places();
  const protocol: Protocol = {
    begins: "driver",
    open: async (_, opening) => await open(opening),
    secure: () => assert.fail(),
    follow: () => {
      let seen = "";
      return {
        see: (chunk) => void (seen += String(chunk)),
        refusal: (failure) => (seen.endsWith("half") ? null : Buffer.from(failure.code)),
      };
    },
    refusal: ({ code }) => Buffer.from(code),
  };
  const { verifyName = true } = options;
  const config = databaseConfig({ port, connectionLimit, verifyName });
  const credential = presents ? { certificateId: "c", version: 1, fingerprint: "f" } : null;
  const session = new DatabaseSession(socket, {
    protocol,
    route: {
      config,
      credential: credential as never,
      trust: { id: "t" } as never,
      network: {
        policy: new AddressPolicy(ADDRESSES),
        timeouts: {
          ...defaultOptions.timeouts,
          session: options.session ?? 60_000,
          connect: options.connect ?? 5_000,
        },
        resolve: async () => {
          await options.resolved;
          return [{ address: "127.0.0.1", family: 4 }];
        },
      },
      contexts: { get: () => context } as never,
      places,
      password: () => "secret",
    },
    bound: { databaseId: "d", protocol: "postgres", database: "orders", user: "client" },
    shown: { details: "public", ray: "r" },
    connected: ({ ms, ...rest }) => told.push(["connected", ms >= 0 && ms < 60_000, rest]),
    failed: ({ code, message, facts }) => told.push([code, message, facts]),
  });
  const said = async (): Promise<string> => String(Buffer.concat(await driver.toArray()));
  const reset = (): void => void raw[0]!.resetAndDestroy();
  const left = new Promise((resolve) => socket.once("close", resolve));
  return { session, driver, server: met, reset, raw, left, told, places, said };
}

async function listening(
  t: TestContext,
  server: ReturnType<typeof createTcpServer>,
): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function secured(opening: DriverOpening): Promise<TLSSocket> {
  assert.equal(opening.password(), "secret");
  return await opening.handshake(await opening.dial());
}

/** Is a place free again? */
async function isFree(places: Places): Promise<boolean> {
  return (await places.take(1, 0)) !== null;
}

const CONNECTED = ["connected", true, { resumed: false, tlsVersion: "TLSv1.3", asked: true }];

test("an open session passes bytes both ways, and gives its place back when it ends", async (t) => {
  const { session, driver, server, told, places, said } = await world(t);
  await session.open();
  const database = await server;
  driver.write("query");
  assert.equal(String((await once(database, "data"))[0]), "query");
  database.write("rows");
  assert.equal(String((await once(driver, "data"))[0]), "rows");
  assert.deepEqual(told, [CONNECTED]);
  assert.equal(await isFree(places), false);
  driver.end("bye");
  database.end();
  assert.equal(await said(), "");
  while (!(await isFree(places))) await turn();
  await turn();
  assert.deepEqual(told, [CONNECTED], "who leaves is no failure");
  session.cut(new Failure("database_gone"));
  assert.equal(told.length, 1);
});

test("a request that needs no session ends with its answer", async (t) => {
  const { session, said } = await world(t, { open: () => Promise.resolve(null) });
  await session.open();
  assert.equal(await said(), "");
});

test("a driver that finds no place in time is told how many there are", async (t) => {
  const { session, said, told, places } = await world(t, { connectionLimit: 1, connect: 0 });
  assert.notEqual(await places.take(1, 0), null);
  await session.open();
  assert.equal(await said(), "database_connections_exhausted");
  assert.deepEqual(told, [
    [
      "database_connections_exhausted",
      'all 1 connections of the Hyperdrive configuration "orders" are in use',
      { limit: 1 },
    ],
  ]);
});

test("a server that ends or breaks off the session is told, where the driver could not know", async (t) => {
  for (const [how, said, reason] of [
    // It has said itself what there was to say.
    ["ends", "", "closed"],
    ["breaks off", "database_session_ended", "ECONNRESET"],
    ["breaks off within a message", "", "ECONNRESET"],
  ] as const) {
    const one = await world(t);
    await one.session.open();
    const database = await one.server;
    if (how.includes("within")) {
      database.write("half");
      await once(one.driver, "data");
    }
    if (how === "ends") database.end();
    else one.reset();
    assert.equal(await one.said(), said);
    const [code, message, facts] = one.told[1]!;
    const { port } = facts as { port: number };
    assert.equal(code, "database_session_ended");
    assert.deepEqual(facts, { host: "localhost", port, reason });
    assert.equal(message, `localhost:${port} ended the connection (${reason})`);
  }
});

test("a session on which nothing is sent is closed, and told", async (t) => {
  const { session, said, told } = await world(t, { session: 30 });
  await session.open();
  assert.equal(await said(), "database_session_idle");
  assert.equal(told[1]?.[1], 'nothing was sent on the connection to "orders" for 0.03 s');
});

test("what goes wrong before a session is open is told once, as what it is", async (t) => {
  const failure = new Failure("database_protocol");
  for (const [thrown, code] of [
    [failure, "database_protocol"],
    [Object.assign(new Error("reset"), { code: "ECONNRESET" }), "origin_closed"],
  ] as const) {
    const { session, said, told } = await world(t, { open: () => Promise.reject(thrown) });
    await session.open();
    session.cut(new Failure("database_gone"));
    assert.equal(await said(), code);
    assert.equal(told.length, 1);
  }
});

test("what a server does instead of an answer is told with what was presented to it", async (t) => {
  for (const [presents, answers, code] of [
    [true, false, "origin_closed_first_read"],
    [true, true, "origin_closed"],
    [false, false, "origin_closed"],
  ] as const) {
    const one = await world(t, {
      presents,
      open: async (opening) => {
        const tls = await secured(opening);
        if (answers) {
          (await one.server).write("x");
          await once(tls, "data");
        }
        throw opening.failed(Object.assign(new Error("reset"), { code: "ECONNRESET" }), tls);
      },
    });
    await one.session.open();
    assert.equal(await one.said(), code);
    const facts = one.told[1]?.[2] as Record<string, unknown>;
    assert.deepEqual(
      [facts["host"], facts["tls"], facts["certificateId"], facts["askedForCertificate"]],
      ["localhost", "TLSv1.3", presents ? "c" : undefined, presents],
    );
  }
});

test("a server of another name is told, unless its name does not count", async (t) => {
  const strict = await world(t, { shown: elsewhere });
  await strict.session.open();
  assert.equal(await strict.said(), "origin_certificate_wrong_name");
  const { session, told } = await world(t, { shown: elsewhere, verifyName: false });
  await session.open();
  assert.deepEqual(told, [CONNECTED]);
});

test("a server that never finishes a sign-in is given up in time", async (t) => {
  const { session, said, told } = await world(t, {
    open: async (opening) => {
      const dialled = await opening.dial();
      t.mock.timers.enable({ apis: ["setTimeout"] });
      const tls = await opening.handshake(dialled);
      t.mock.timers.tick(defaultOptions.timeouts.handshake);
      await new Promise((_, reject) => tls.once("error", reject));
      return tls;
    },
  });
  await session.open();
  assert.equal(await said(), "database_sign_in_timeout");
  const { port } = told[1]![2] as { port: number };
  assert.deepEqual(told[1]!.slice(1), [
    `localhost:${port} did not finish signing in within ${defaultOptions.timeouts.handshake} ms`,
    { host: "localhost", port },
  ]);
});

test("an open session has no time to sign in any more", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { session, server, driver } = await world(t);
  await session.open();
  t.mock.timers.tick(10 * defaultOptions.timeouts.handshake);
  (await server).write("rows");
  assert.equal(String((await once(driver, "data"))[0]), "rows");
});

test("who is cut is told why, and is gone two seconds later if nobody reads it", async (t) => {
  const { session, driver, places } = await world(t);
  await session.open();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  session.cut(new Failure("database_gone"));
  t.mock.timers.tick(1_999);
  assert.equal(String((await once(driver, "data"))[0]), "database_gone");
  assert.equal(await isFree(places), true, "at once");
  t.mock.timers.tick(1);
  while (!driver.destroyed) {
    driver.write("still here?");
    await turn();
  }
});

for (const when of ["for a place", "for its name", "for the server", "for TLS"] as const) {
  test(`a driver that leaves while it waits ${when} keeps no place, and no connection to the server`, async (t) => {
    const waiting = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const one = await world(t, {
      connectionLimit: 1,
      ...(when === "for its name" && { resolved: gone.promise }),
      open: async (opening) => {
        if (when === "for a place" || when === "for its name") waiting.resolve();
        const socket = await opening.dial();
        waiting.resolve();
        // A server that does not answer, and one that answers too late.
        if (when === "for the server") await once(socket, "close");
        await gone.promise;
        return await opening.handshake(socket);
      },
    });
    const taken = when === "for a place" ? await one.places.take(1, 0) : null;
    const opened = one.session.open();
    await waiting.promise;
    one.driver.resetAndDestroy();
    await one.left;
    taken?.();
    gone.resolve();
    await opened;
    assert.equal(await isFree(one.places), true);
    while (one.raw.length < (when === "for a place" ? 0 : 1)) await turn();
    assert.ok(when !== "for a place" || one.raw.length === 0);
    while (one.raw.some(({ destroyed }) => !destroyed)) await turn();
    assert.ok(!one.told.some(([what]) => what !== "connected"), "nobody is left to tell");
  });
}
