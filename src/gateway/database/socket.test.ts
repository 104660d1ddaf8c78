import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { opened, readUntil } from "../../../test/helpers/binding.ts";
import { boundDatabase, databaseConfig } from "../../../test/helpers/databases.ts";
import { ask } from "../../../test/helpers/gateway.ts";
import type { DatabaseProtocol } from "../../contract/database.ts";
import { defaultOptions } from "../../contract/gateway-options.ts";
import { Failure } from "../../failures/failures.ts";
import type { ShownDetails } from "../../failures/rendered.ts";
import { AddressPolicy } from "../../network/addresses.ts";
import { Places } from "./places.ts";
import type { DatabaseRoute } from "./session.ts";
import { DatabaseSocket, type DatabaseRouter } from "./socket.ts";

const CONNECT = "CONNECT made.up:5432 HTTP/1.1\r\n\r\n";
const ACCEPTED = "HTTP/1.1 200 Connection Established\r\n\r\n";
const STARTUP = "\0\0\0\x09\0\x03\0\0\0";
const ADDRESSES = { allow: [], deny: [], development: false, denyLocalPorts: [] };

interface World {
  readonly socket: DatabaseSocket;
  readonly path: string;
  readonly told: unknown[][];
  /** Sessions that are open, as the router knows. */
  readonly open: Set<unknown>;
}

interface WorldOptions {
  readonly protocol?: DatabaseProtocol;
  /** Default: that of a database that may not be reached. */
  readonly route?: DatabaseRouter["route"];
  readonly details?: ShownDetails;
  /** Of what presents a certificate. Default: it counts. */
  readonly observes?: () => void;
  /** Default: there is always another. */
  readonly connection?: DatabaseRouter["connection"];
}

async function world(
  t: TestContext,
  {
    protocol = "postgres",
    route = unreachable,
    details = "public",
    observes,
    connection = () => () => {},
  }: WorldOptions = {},
): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-database-"));
  const path = join(folder, "s");
  const told: unknown[][] = [];
  const open = new Set<unknown>();
  const config = databaseConfig({ protocol });
  const key = { accountId: "a", scriptName: "w", bindingName: "DB", certificateId: "" };
  const socket = new DatabaseSocket({ ...key, socketPath: path }, boundDatabase(config), {
    route: () => route(),
    observer: (certificateId) => {
      if (certificateId !== null) observes?.();
      return {
        details,
        connected: () => {},
        failed: ({ code }, origin, ray) => told.push([certificateId, code, origin, ray.length]),
      };
    },
    connection,
    opened: (session) => open.add(session),
    closed: (session) => open.delete(session),
  });
  await socket.listen();
  t.after(async () => {
    await socket.close(0);
    await rm(folder, { recursive: true, force: true });
  });
  return { socket, path, told, open };
}

function unreachable(places = new Places()): DatabaseRoute {
  return {
    config: databaseConfig({ host: "127.0.0.1", connectionLimit: 1 }),
    credential: { certificateId: "c" } as never,
    trust: { id: "t" } as never,
    network: {
      policy: new AddressPolicy(ADDRESSES),
      timeouts: defaultOptions.timeouts,
      resolve: () => assert.fail(),
    },
    contexts: {} as never,
    places,
    password: () => "secret",
  };
}

function gone(): never {
  throw new Failure("database_gone");
}

function thrown(): never {
  throw new TypeError("not thought of");
}

test("a connection that is no driver's connect() is told, or cut", async (t) => {
  const { path } = await world(t);
  const answer = await ask(path, "/", { headers: { host: "made.up" } });
  assert.equal(answer.headers["countersign-failure"], "database_driver_protocol");
  assert.equal(await readUntil(await opened(t, path, "nonsense\r\n\r\n"), "never"), "");
});

test("why there is no database is told when the driver's protocol allows it", async (t) => {
  for (const [protocol, route, code] of [
    ["postgres", gone, "database_gone"],
    ["mysql", gone, "database_gone"],
    ["postgres", thrown, "internal"],
  ] as const) {
    const { path, told, open } = await world(t, { protocol, route });
    const driver = await opened(t, path, CONNECT);
    assert.ok((await readUntil(driver, "\r\n\r\n")).startsWith(ACCEPTED));
    assert.deepEqual(told, [[null, code, null, 16]]);
    // PostgreSQL's speaks first, and understands nothing before that.
    if (protocol === "postgres") driver.write(STARTUP);
    if (protocol === "postgres") assert.match(await readUntil(driver, "never"), new RegExp(code));
    else await readUntil(driver, "never");
    assert.equal(open.size, 0);
  }
});

test("a MySQL driver gets its refusal in place of a greeting", async (t) => {
  const { path } = await world(t, { protocol: "mysql", route: gone });
  const all = await readUntil(await opened(t, path, CONNECT), "never");
  assert.match(all.slice(ACCEPTED.length), /#08001database_gone/);
});

test("a session begins with what came with its connect(), is known while it lasts, and counted", async (t) => {
  const { path, told, open } = await world(t);
  const driver = await opened(t, path, `${CONNECT}${STARTUP}`);
  const said = await readUntil(driver, "never");
  assert.match(said.slice(ACCEPTED.length), /^E[^]*Morigin_address_refused/);
  assert.deepEqual(told, [["c", "origin_address_refused", "postgres://127.0.0.1:5432", 16]]);
  driver.end();
  while (open.size > 0) await turn();
});

test("where only the owner may know, a driver is told the code and where to look for the rest", async (t) => {
  for (const [route, said] of [
    [gone, /database_gone: [^]*\(ray [0-9a-f]{16}\)/],
    [unreachable, /origin_address_refused: [^]*\(ray [0-9a-f]{16}\)/],
  ] as const) {
    const { path } = await world(t, { details: "owner", route: () => route() });
    const driver = await opened(t, path, CONNECT + STARTUP);
    const text = await readUntil(driver, "never");
    driver.end();
    assert.match(text, said);
    assert.doesNotMatch(text, /127\.0\.0\.1/);
  }
});

test("an exception ends its own connection, and so does a driver that leaves without its answer", async (t) => {
  const broken = await world(t, { observes: thrown });
  const driver = await opened(t, broken.path, CONNECT);
  assert.equal(await readUntil(driver, "never"), ACCEPTED);
  const { path, told } = await world(t, { route: gone });
  const leaving = await opened(t, path, CONNECT);
  await readUntil(leaving, "\r\n\r\n");
  leaving.write(STARTUP);
  leaving.destroy();
  const staying = await opened(t, path, CONNECT + STARTUP);
  assert.match(await readUntil(staying, "never"), /database_gone/);
  assert.equal(told.length, 2);
});

test("a Worker has 256 connections to a database, those that wait among them", async (t) => {
  const places = new Places();
  assert.notEqual(await places.take(1, 0), null);
  const { path, told, open } = await world(t, { route: () => unreachable(places) });
  const all = Array.from({ length: 256 }, () => opened(t, path, CONNECT));
  const drivers = await Promise.all(all);
  await Promise.all(drivers.map((driver) => readUntil(driver, "\r\n\r\n")));
  assert.deepEqual(told, []);
  const over = await opened(t, path, CONNECT);
  await readUntil(over, "\r\n\r\n");
  over.write(STARTUP);
  assert.match(await readUntil(over, "never"), /binding_connections_exhausted/);
  over.end();
  // Who was refused counts until it has gone.
  for (const driver of drivers.slice(0, 2)) driver.destroy();
  while (open.size > 254) await turn();
  told.length = 0;
  const next = await opened(t, path, CONNECT);
  await readUntil(next, "\r\n\r\n");
  await turn();
  assert.deepEqual(told, []);
  for (const driver of [...drivers, next]) driver.destroy();
});

test("a connection above the Worker's share is refused by name", async (t) => {
  const { path } = await world(t, { connection: () => null, route: () => assert.fail() });
  const refused = await opened(t, path, CONNECT + STARTUP);
  assert.match(await readUntil(refused, "never"), /binding_connections_exhausted/);
});

test("a binding that closes lets its sessions end, and tells those that do not", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const places = new Places();
  assert.notEqual(await places.take(1, 0), null);
  const { path, socket, open } = await world(t, { route: () => unreachable(places) });
  const driver = await opened(t, path, CONNECT);
  assert.equal(await readUntil(driver, "\r\n\r\n"), ACCEPTED);
  let isClosed = false;
  const closed = socket.close(5_000).then(() => (isClosed = true));
  t.mock.timers.tick(4_999);
  await turn();
  assert.deepEqual([isClosed, open.size], [false, 1]);
  t.mock.timers.tick(1);
  assert.match(await readUntil(driver, "never"), /^E[^]*gateway_unavailable/);
  driver.end();
  await closed;
});

test("a process that ends tells each session, and cuts who was refused", async (t) => {
  for (const route of [unreachable, gone]) {
    const places = new Places();
    assert.notEqual(await places.take(1, 0), null);
    const { path, socket } = await world(t, { route: () => route(places) });
    const driver = await opened(t, path, CONNECT);
    assert.equal(await readUntil(driver, "\r\n\r\n"), ACCEPTED);
    socket.abandon(new Failure("edge_process_ended"));
    const said = await readUntil(driver, "edge_process_ended");
    if (route === gone) assert.equal(said, "");
    else assert.match(said, /^E[^]*edge_process_ended/);
    driver.end();
  }
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
