import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { readUntil } from "../../test/helpers/binding.ts";
import { Failure } from "../failures/failures.ts";
import {
  answerPostgresClient,
  isPostgresClient,
  postgresError,
  startPostgresTls,
} from "./postgres.ts";

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const GSS_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 48]);
const STARTUP = Buffer.from([0, 0, 0, 8, 0, 3, 0, 0]);
const DESTINATION = { host: "db.example", port: 5432 };
const FACTS = { host: "db.example", port: 5432 };

function pair(): readonly [ours: Duplex, theirs: Duplex] {
  const [ours, theirs] = duplexPair({ allowHalfOpen: true });
  theirs.on("error", () => {});
  return [ours, theirs];
}

function start(socket: Duplex, timeout = 10_000): Promise<void> {
  return startPostgresTls(socket as Socket, DESTINATION, timeout);
}

test("a server is asked for TLS in PostgreSQL's words, and begins it when it says so", async () => {
  const [ours, server] = pair();
  const started = start(ours);
  assert.deepEqual(await bytes(server, 8), SSL_REQUEST);
  server.write("S");
  await started;
  assert.ok(!ours.destroyed);
});

test("a server that refuses, or says more before TLS, is not spoken to any further", async () => {
  for (const said of ["N", "E", "SS", "S\x16"]) {
    const [ours, server] = pair();
    const started = start(ours);
    server.write(said);
    await assert.rejects(started, {
      code: "origin_postgres_no_tls",
      message: "db.example:5432 does not offer TLS to PostgreSQL clients",
      facts: FACTS,
    });
    assert.ok(ours.destroyed, said);
  }
});

test("a server that ends, breaks off or stays silent is told apart", async () => {
  const [ended, server] = pair();
  const starting = start(ended);
  server.end();
  await assert.rejects(starting, { code: "origin_handshake_reset" });
  assert.ok(ended.destroyed);
  const [broken] = pair();
  const breaking = start(broken);
  broken.destroy(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
  await assert.rejects(breaking, {
    code: "origin_handshake_reset",
    facts: { ...FACTS, reason: "ECONNRESET", askedForCertificate: false },
  });
  const [silent] = pair();
  const failure = await failed(start(silent, 1));
  assert.equal(failure.code, "origin_handshake_timeout");
  assert.equal(failure.message, "db.example:5432 did not say in time that TLS may begin");
  assert.deepEqual(failure.facts, FACTS);
  assert.ok(silent.destroyed);
});

/** The first eight bytes of a client. */
function request(length: number, code: number): Buffer {
  const first = Buffer.alloc(8);
  first.writeUInt32BE(length, 0);
  first.writeUInt32BE(code, 4);
  return first;
}

/** In place of a version. */
function special(code: number): number {
  return (1234 << 16) + code;
}

test("a PostgreSQL client is known by its first eight bytes, and no other protocol is taken for it", () => {
  for (const [first, expected] of [
    [STARTUP, true],
    [request(65_535, 3 << 16), true],
    [request(40, (3 << 16) + 2), true],
    [request(8, special(5679)), true],
    [request(16, special(5678)), true],
    [request(300, special(5678)), true],
    [request(301, special(5678)), false],
    [request(7, 3 << 16), false],
    [request(40, 2 << 16), false],
    [request(65_536, 3 << 16), false],
    [STARTUP.subarray(0, 7), null],
    [Buffer.alloc(0), null],
    [Buffer.from([0]), null],
    [Buffer.from([1]), false],
    [Buffer.from("*1\r\n$4\r\nPING\r\n"), false],
  ] as const) {
    assert.equal(isPostgresClient(first), expected, first.toString("hex"));
  }
});

test("a driver that asks for TLS is told that it has it, and encryption by GSSAPI that there is none", async () => {
  const [client, driver] = pair();
  const answered = answerPostgresClient(client, pair()[0]);
  driver.write(GSS_REQUEST);
  assert.equal(await readUntil(driver, "N"), "N");
  driver.write(SSL_REQUEST);
  assert.equal(await readUntil(driver, "S"), "S");
  driver.write(STARTUP);
  await answered;
  assert.deepEqual(client.read(), STARTUP);
});

test("a driver that does not ask for TLS goes on as it began", async () => {
  const [client, driver] = pair();
  driver.write(Buffer.concat([STARTUP, Buffer.from("more")]));
  await answerPostgresClient(client, pair()[0]);
  assert.deepEqual(await bytes(client, 12), Buffer.concat([STARTUP, Buffer.from("more")]));
});

test("a driver that asks without end is asked no more", async () => {
  const [client, driver] = pair();
  driver.write(Buffer.concat([GSS_REQUEST, GSS_REQUEST, GSS_REQUEST, GSS_REQUEST]));
  await answerPostgresClient(client, pair()[0]);
  assert.deepEqual(client.read(), GSS_REQUEST);
  assert.equal(await readUntil(driver, "NNN"), "NNN");
});

test("a driver that begins TLS itself is told so", async () => {
  const [client, driver] = pair();
  const answered = answerPostgresClient(client, pair()[0]);
  driver.write(SSL_REQUEST);
  assert.equal(await readUntil(driver, "S"), "S");
  driver.write(Buffer.from([0x16, 3, 1]));
  await assert.rejects(answered, {
    code: "connect_second_tls",
    message: "the driver began TLS on a connection that presents the certificate in TLS already",
  });
});

test("nobody waits for a driver whose connection, or whose server's, is over", async () => {
  for (const begun of [false, true]) {
    for (const end of ["driver ends", "driver breaks off", "server closes"]) {
      const [client, driver] = pair();
      const [upstream] = pair();
      const answered = answerPostgresClient(client, upstream);
      if (begun) {
        driver.write(SSL_REQUEST);
        assert.equal(await readUntil(driver, "S"), "S");
      }
      if (end === "driver ends") driver.end();
      else if (end === "driver breaks off") client.destroy(new Error("reset"));
      else upstream.destroy();
      await answered;
    }
  }
  const [gone] = pair();
  gone.destroy();
  await answerPostgresClient(pair()[0], gone);
});

test("a failure is a message that PostgreSQL's drivers read, and ends where it says", () => {
  const failure = new Failure("origin_not_tls", { message: "a\0b", fix: "look" });
  const sent = postgresError(failure);
  assert.equal(sent.toString("latin1", 0, 1), "E");
  assert.equal(sent.readInt32BE(1), sent.length - 1);
  assert.deepEqual(sent.toString("utf8", 5).split("\0"), [
    "SFATAL",
    "VFATAL",
    "C08001",
    "Morigin_not_tls: ab",
    `D${failure.entry.cause}`,
    "Hlook",
    "",
    "",
  ]);
});

async function bytes(stream: Duplex, count: number): Promise<Buffer> {
  for (;;) {
    const got = stream.read(count) as Buffer | null;
    if (got !== null) return got;
    await new Promise((resolve) => stream.once("readable", resolve));
  }
}

async function failed(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    return error as Failure;
  }
  return assert.fail();
}
