import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { Failure } from "../failures/failures.ts";
import { mysqlError, MysqlSwitch, type MysqlClient } from "./mysql.ts";

const PROTOCOL_41 = 0x0200;
const SSL = 0x0800;
const FACTS = { host: "db.example", port: 3306 };
const FAILURE = new Failure("origin_not_tls", { message: "why", fix: "look" });

interface World {
  readonly session: MysqlSwitch;
  readonly driver: Duplex;
  /** The gateway's end of the connection in the clear, and the server's. */
  readonly clear: Socket;
  readonly server: Duplex;
  readonly client: MysqlClient & { accepted: number };
}

function world(timeout = 10_000): World {
  const [driver, socket] = pair();
  const [clear, server] = pair();
  const client: World["client"] = {
    socket,
    tell: null,
    accepted: 0,
    accept: () => (client.accepted += 1),
  };
  const session = new MysqlSwitch(client, { host: "db.example", port: 3306 }, timeout);
  return { session, driver, clear: clear as Socket, server, client };
}

function pair(): readonly [Duplex, Duplex] {
  const both = duplexPair({ allowHalfOpen: true });
  for (const end of both) end.on("error", () => {});
  return both;
}

/** How a failure is told now. */
function told({ client }: World): Buffer | null {
  return client.tell?.(FAILURE) ?? null;
}

/** As a server of MySQL 8 greets. */
function greeting(capabilities = SSL): Buffer {
  const head = Buffer.concat([Buffer.from("\x0a8.4.0\0"), Buffer.alloc(13), Buffer.alloc(2)]);
  head.writeUInt16LE(capabilities, head.length - 2);
  return Buffer.concat([head, Buffer.from("the rest")]);
}

/** With 32 bytes, a request for TLS. */
function answer(capabilities = PROTOCOL_41, length = 40): Buffer {
  const payload = Buffer.alloc(length, "x");
  payload.writeUInt32LE(capabilities);
  return payload;
}

function packet(sequence: number, payload: Buffer | string): Buffer {
  const body = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
  const head = Buffer.from([0, 0, 0, sequence]);
  head.writeUIntLE(body.length, 0, 3);
  return Buffer.concat([head, body]);
}

async function bytes(stream: Duplex, count: number): Promise<Buffer> {
  for (;;) {
    const got = stream.read(count) as Buffer | null;
    if (got !== null) return got;
    await new Promise((resolve) => stream.once("readable", resolve));
  }
}

/** Up to where TLS begins. */
async function asked(one: World, payload = answer()): Promise<void> {
  one.server.write(packet(0, greeting()));
  assert.equal(await one.session.greeted(one.clear, 10_000), true);
  const asking = one.session.ask(one.clear);
  assert.deepEqual(await bytes(one.driver, greeting().length + 4), packet(0, greeting()));
  assert.equal(one.client.accepted, 1);
  one.driver.write(packet(1, payload));
  await asking;
  const request = answer(PROTOCOL_41 | SSL, 32);
  assert.deepEqual(await bytes(one.server, 36), packet(1, request));
}

test("a driver without TLS signs in within TLS, by numbers that fit on both sides", async () => {
  const one = world();
  await asked(one);
  assert.equal(told(one)?.[3], 2);
  const [upstream, server] = pair();
  const signing = one.session.signIn(upstream);
  assert.deepEqual(await bytes(server, 44), packet(2, answer(PROTOCOL_41 | SSL)));
  server.write(packet(3, "\x01more"));
  assert.deepEqual(await bytes(one.driver, 9), packet(2, "\x01more"));
  one.driver.write(packet(3, "secret"));
  assert.deepEqual(await bytes(server, 10), packet(4, "secret"));
  server.write(packet(5, "\0ok"));
  await signing;
  assert.deepEqual(await bytes(one.driver, 7), packet(4, "\0ok"));
  // Its first command is numbered from 0 again, and so is the answer.
  assert.equal(told(one)?.[3], 1);
  assert.equal(one.driver.listenerCount("readable"), 0);
});

test("what a driver and a server sent while TLS began is passed on", async () => {
  const one = world();
  await asked(one);
  const [upstream, server] = pair();
  one.driver.write(packet(3, "early"));
  server.write(packet(3, "\xff"));
  const signing = one.session.signIn(upstream);
  await signing;
  await bytes(server, 44);
  assert.deepEqual(await bytes(server, 9), packet(4, "early"));
});

test("a driver that asks for TLS itself and then begins it is told apart, another goes on", async () => {
  for (const next of ["\x16", "\x20"]) {
    const one = world();
    await asked(one, answer(PROTOCOL_41 | SSL, 32));
    assert.equal(told(one), null, "it expects a server's TLS now");
    const signing = one.session.signIn(pair()[0]);
    one.driver.write(next);
    if (next === "\x16") await assert.rejects(signing, { code: "connect_second_tls" });
    else {
      await signing;
      assert.equal(told(one)?.[3], 3);
    }
  }
  const gone = world();
  await asked(gone, answer(PROTOCOL_41 | SSL, 32));
  gone.driver.end();
  await gone.session.signIn(pair()[0]);
  assert.equal(gone.client.tell, null);
});

test("an answer of 32 bytes that asks for no TLS is a driver's whole answer", async () => {
  const one = world();
  await asked(one, answer(PROTOCOL_41, 32));
  assert.notEqual(one.client.tell, null);
});

test("what is no answer to a greeting is told as the driver's fault, and nothing of it passed on", async () => {
  for (const [said, ends] of [
    [packet(2, answer()), false],
    [packet(1, answer(PROTOCOL_41, 31)), false],
    [packet(1, answer(0)), false],
    [packet(1, ""), false],
    [Buffer.from([1, 0, 1, 1]), false],
    [packet(1, answer()).subarray(0, 20), true],
    [Buffer.alloc(0), true],
  ] as const) {
    const one = world();
    one.server.write(packet(0, greeting()));
    await one.session.greeted(one.clear, 10_000);
    one.driver.write(said);
    if (ends) one.driver.end();
    await assert.rejects(one.session.ask(one.clear), { code: "connect_protocol_malformed" });
    assert.equal(one.server.read(), null);
  }
  const silent = world(1);
  silent.server.write(packet(0, greeting()));
  await silent.session.greeted(silent.clear, 10_000);
  await assert.rejects(silent.session.ask(silent.clear), { code: "connect_protocol_malformed" });
});

test("a server that offers no TLS is told before the driver has heard anything", async () => {
  for (const payload of [greeting(0), greeting(0xffff & ~SSL), greeting().subarray(0, 20)]) {
    const one = world();
    one.server.write(packet(0, payload));
    await one.session.greeted(one.clear, 10_000);
    await assert.rejects(one.session.ask(one.clear), {
      code: "origin_mysql_no_tls",
      message: "db.example:3306 does not offer TLS to MySQL clients",
      facts: FACTS,
    });
    assert.equal(one.client.accepted, 0);
  }
  const unended = world();
  unended.server.write(packet(0, `\x0a${"8".repeat(40)}`));
  await unended.session.greeted(unended.clear, 10_000);
  await assert.rejects(unended.session.ask(unended.clear), { code: "origin_mysql_no_tls" });
});

test("a server that does not greet as MySQL does is told, with its own words if it has some", async () => {
  for (const [said, why] of [
    [packet(0, "\x09old"), ""],
    [packet(1, greeting()), ""],
    [Buffer.concat([packet(0, greeting()), Buffer.from("more")]), ""],
    [packet(0, ""), ""],
    [Buffer.from([0, 0, 2, 0]), ""],
    [packet(0, "\xffxxToo many\0con\x1bnections"), ": Too many\\u0000con\\u001bnections"],
  ] as const) {
    const one = world();
    one.server.write(said);
    await assert.rejects(one.session.greeted(one.clear, 10_000), {
      code: "origin_mysql_refused",
      message: `db.example:3306 did not greet as MySQL does${why}`,
      facts: FACTS,
    });
  }
  const ended = world();
  ended.server.end("1");
  await assert.rejects(ended.session.greeted(ended.clear, 10_000), {
    code: "origin_mysql_refused",
  });
});

test("a server that waits has not greeted, one that stops or breaks off is told", async () => {
  const waits = world();
  assert.equal(await waits.session.greeted(waits.clear, 1), false);
  const stops = world(1);
  stops.server.write("\x05");
  await assert.rejects(stops.session.greeted(stops.clear, 10_000), {
    code: "origin_handshake_timeout",
  });
  const broken = world();
  const greeted = broken.session.greeted(broken.clear, 10_000);
  broken.clear.destroy(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
  await assert.rejects(greeted, { code: "origin_handshake_reset" });
});

test("a sign-in that one side leaves is over, and nothing is told in its protocol", async () => {
  for (const end of ["driver", "server", "driver breaks off"]) {
    const one = world();
    await asked(one);
    one.client.tell = null;
    const [upstream, server] = pair();
    const signing = one.session.signIn(upstream);
    if (end === "driver") one.driver.end();
    else if (end === "server") server.end();
    else upstream.destroy(new Error("reset"));
    await signing;
    assert.equal(one.client.tell, null);
  }
  const gone = world();
  await asked(gone);
  const [upstream] = pair();
  upstream.destroy();
  await gone.session.signIn(upstream);
});

test("a failure is a packet that MySQL's drivers read, and no longer than they take", () => {
  const sent = mysqlError(FAILURE, 2);
  const text = "#08S01origin_not_tls: why. look";
  assert.deepEqual(sent, packet(2, Buffer.from(`\xff\x13\x04${text}`, "latin1")));
  const long = mysqlError(new Failure("origin_not_tls", { message: "x".repeat(9_000) }), 2);
  assert.equal(long.length, 4 + 3 + 4_000);
});
