import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { bytes, testOpening, type TestOpening } from "../../../test/helpers/database-opening.ts";
import { Failure } from "../../failures/failures.ts";
import { mysql } from "./mysql.ts";

const [WITH_DB, COMPRESS, PROTOCOL_41, SSL] = [1 << 3, 1 << 5, 1 << 9, 1 << 11] as const;
const [SECURE, PLUGIN, ATTRS, LENENC] = [1 << 15, 1 << 19, 1 << 20, 1 << 21] as const;
const FACTORS = 1 << 28;
const ALL = WITH_DB | COMPRESS | PROTOCOL_41 | SSL | SECURE | PLUGIN | ATTRS | LENENC | FACTORS;
/** What a driver wishes for, as a rule. */
const WISHES = PROTOCOL_41 | SECURE | PLUGIN | WITH_DB | ATTRS | LENENC;
const SCRAMBLE = "abcdefghijklmnopqrst";
const OK = Buffer.from([0, 0, 0, 2, 0, 0, 0]);
const SHOWN = { details: "public", ray: "r" } as const;

function greeting(plugin = "mysql_native_password", capabilities = ALL, rest = 21): Buffer {
  const low = Buffer.alloc(2);
  low.writeUInt16LE(capabilities & 0xffff);
  const high = Buffer.alloc(2);
  high.writeUInt16LE(capabilities >>> 16);
  return Buffer.concat([
    Buffer.from("\x0a8.4.0\0"),
    Buffer.from([1, 2, 3, 4]),
    Buffer.from(`${SCRAMBLE.slice(0, 8)}\0`),
    low,
    Buffer.from([45, 2, 0]),
    high,
    Buffer.from([rest]),
    Buffer.alloc(10),
    Buffer.from(`${SCRAMBLE.slice(8)}\0${plugin}\0`),
  ]);
}

function packet(sequence: number, body: Buffer | string): Buffer {
  const payload = typeof body === "string" ? Buffer.from(body, "latin1") : body;
  const head = Buffer.from([0, 0, 0, sequence]);
  head.writeUIntLE(payload.length, 0, 3);
  return Buffer.concat([head, payload]);
}

async function next(stream: Duplex): Promise<{ sequence: number; body: Buffer }> {
  const head = await bytes(stream, 4);
  return { sequence: head[3]!, body: await bytes(stream, head.readUIntLE(0, 3)) };
}

function headOf(capabilities: number): Buffer {
  const head = Buffer.alloc(32, 7);
  head.writeUInt32LE(capabilities >>> 0, 0);
  return head;
}

/** A driver's answer to a greeting. */
function answer(capabilities = WISHES, rest = "any\0\x03pwdorders\0native\0attributes"): Buffer {
  return Buffer.concat([headOf(capabilities), Buffer.from(rest, "latin1")]);
}

function sha(name: string, ...parts: (Buffer | string)[]): Buffer {
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function xor(one: Buffer, other: Buffer): string {
  return Buffer.from(one.map((byte, i) => byte ^ other[i]!)).toString("latin1");
}

function native(scramble = SCRAMBLE): string {
  const once = sha("sha1", "secret");
  return xor(once, sha("sha1", scramble, sha("sha1", once)));
}

function cachingSha2(scramble = SCRAMBLE): string {
  const once = sha("sha256", "secret");
  return xor(once, sha("sha256", sha("sha256", once), scramble));
}

/** A driver that has answered, up to the server's turn within TLS. */
async function signingIn(
  said = greeting(),
  password?: string,
): Promise<{ one: TestOpening; opened: Promise<unknown>; sent: Buffer }> {
  const one = testOpening("mysql", password);
  const opened = mysql.open(one.reader, one.opening);
  opened.catch(() => {});
  one.clear.write(packet(0, said));
  await next(one.driver);
  one.driver.write(packet(1, answer()));
  await next(one.clear);
  const { body } = await next(one.server);
  return { one, opened, sent: body };
}

test("a driver is greeted without TLS and with another challenge, and signed in as the configuration's user", async () => {
  const one = testOpening("mysql");
  const opened = mysql.open(one.reader, one.opening);
  const real = greeting();
  one.clear.write(packet(0, real));
  const greeted = await next(one.driver);
  assert.equal(greeted.sequence, 0);
  const { body } = greeted;
  assert.equal(body.length, real.length);
  // Version and thread are the server's.
  assert.deepEqual(body.subarray(0, 11), real.subarray(0, 11));
  const shown = body.readUInt16LE(20) | (body.readUInt16LE(25) << 16);
  assert.equal(shown, ALL & ~(SSL | COMPRESS | FACTORS));
  assert.equal(body[27], 21);
  const challenge = body.toString("latin1", 11, 19) + body.toString("latin1", 38, 50);
  assert.match(challenge, /^[!-~]{20}$/);
  assert.notEqual(challenge, SCRAMBLE);
  assert.equal(body.toString("latin1", 50), "\0mysql_native_password\0");
  one.driver.write(packet(1, answer()));
  const capabilities = (WISHES & ~LENENC) | SSL;
  assert.deepEqual(await next(one.clear), { sequence: 1, body: headOf(capabilities) });
  const rest = `client\0\x14${native()}orders\0mysql_native_password\0attributes`;
  assert.deepEqual(await next(one.server), { sequence: 2, body: answer(capabilities, rest) });
  one.server.write(Buffer.concat([packet(3, OK), packet(1, "rows")]));
  assert.equal(await opened, one.tls);
  assert.deepEqual(await next(one.driver), { sequence: 2, body: OK });
  assert.deepEqual(await next(one.tls), { sequence: 1, body: Buffer.from("rows") });
});

test("each driver's answer is understood, as old or as terse as it is", async () => {
  for (const [capabilities, rest, attributes] of [
    [PROTOCOL_41, "any\0pwd\0", ""],
    [PROTOCOL_41 | SECURE, "any\0\x03pwd", ""],
    [PROTOCOL_41 | LENENC, "any\0\x03pwd", ""],
    [PROTOCOL_41 | SECURE | WITH_DB, "any\0\x03pwd\0", ""],
    [PROTOCOL_41 | SECURE | WITH_DB | PLUGIN, "any\0\0\0native\0", ""],
    [PROTOCOL_41 | SECURE | WITH_DB | PLUGIN, "any\0\0", ""],
    [PROTOCOL_41 | SECURE | ATTRS, "any\0\0attr", "attr"],
    [PROTOCOL_41 | SECURE | PLUGIN | ATTRS, "any\0\0native\0attr", "attr"],
  ] as const) {
    const one = testOpening("mysql");
    const opened = mysql.open(one.reader, one.opening);
    opened.catch(() => {});
    one.clear.write(packet(0, greeting()));
    await next(one.driver);
    one.driver.write(packet(1, answer(capabilities, rest)));
    await next(one.clear);
    const { body } = await next(one.server);
    assert.ok(
      body.toString("latin1").endsWith(`orders\0mysql_native_password\0${attributes}`),
      rest,
    );
  }
});

test("what is no driver's answer, or one for another database, ends it, and the server's connection", async () => {
  for (const [said, code] of [
    [packet(1, answer(WISHES | SSL)), "database_driver_protocol"],
    [packet(1, answer(WISHES & ~PROTOCOL_41)), "database_driver_protocol"],
    [packet(1, answer().subarray(0, 33)), "database_driver_protocol"],
    [packet(1, answer(WISHES, "any\0\xfbpwd")), "database_driver_protocol"],
    [packet(1, answer(WISHES, "anyone")), "database_driver_protocol"],
    [packet(1, answer(PROTOCOL_41 | SECURE, "any\0\x09pwd")), "database_driver_protocol"],
    [packet(1, ""), "database_driver_protocol"],
    [Buffer.from([1, 0, 1, 1]), "database_driver_protocol"],
    [Buffer.from([9, 0]), "database_driver_protocol"],
    [packet(1, answer(WISHES, "any\0\0others\0native\0")), "database_name_other"],
  ] as const) {
    const one = testOpening("mysql");
    const opened = mysql.open(one.reader, one.opening);
    one.clear.write(packet(0, greeting()));
    await next(one.driver);
    one.driver.end(said);
    await assert.rejects(opened, { code });
    assert.ok(one.socket.destroyed);
    const failure = await opened.then(
      () => assert.fail(),
      (error: Failure) => error,
    );
    // In answer to its packet.
    assert.equal(mysql.refusal(failure, SHOWN)[3], 2);
  }
  const named = testOpening("mysql");
  const opened = mysql.open(named.reader, named.opening);
  named.clear.write(packet(0, greeting()));
  named.driver.write(packet(1, answer(WISHES, `any\0\0${"x".repeat(101)}\0n\0`)));
  await assert.rejects(opened, {
    message: `the driver asks for the database "${"x".repeat(100)}", and the binding leads to "orders"`,
  });
});

test("a server that is no MySQL, refuses or has no TLS is told before its driver was greeted", async () => {
  const error = Buffer.concat([Buffer.from([0xff, 0x10, 4]), Buffer.from("#08004Too many\0conns")]);
  for (const [said, code, message] of [
    [
      packet(0, error),
      "database_sign_in_refused",
      ' refused "client": Too many conns (1040, 08004)',
    ],
    [
      packet(0, Buffer.from("\xff\x10\x04#08004\x1b[2J\n", "latin1")),
      "database_sign_in_refused",
      ' refused "client": \\u001b[2J\\u000a (1040, 08004)',
    ],
    [packet(0, Buffer.from([0xff])), "database_sign_in_refused", ' refused "client":  (0, 08004)'],
    [packet(0, greeting().fill(9, 0, 1)), "database_protocol", " does not speak MySQL's protocol"],
    [
      packet(0, greeting().subarray(0, 37)),
      "database_protocol",
      " does not speak MySQL's protocol",
    ],
    [packet(0, `\x0a${"8".repeat(50)}`), "database_protocol", " does not speak MySQL's protocol"],
    [packet(0, ""), "database_protocol", " does not speak MySQL's protocol"],
    [Buffer.from([1, 0, 1, 0]), "database_protocol", " does not speak MySQL's protocol"],
    [Buffer.from([9, 0]), "database_protocol", " does not speak MySQL's protocol"],
    [
      packet(0, greeting("", ALL & ~SSL)),
      "origin_mysql_no_tls",
      " does not offer TLS to MySQL clients",
    ],
  ] as const) {
    const one = testOpening("mysql");
    one.clear.end(said);
    const opened = mysql.open(one.reader, one.opening);
    await assert.rejects(opened, (failure: Failure) => {
      assert.equal(failure.code, code);
      const { host, port } = failure.facts;
      assert.deepEqual([host, port], ["db.example", 1234]);
      assert.equal(mysql.refusal(failure, SHOWN)[3], 0, "in place of the greeting");
      assert.equal(failure.message, `db.example:1234${message}`);
      return true;
    });
    assert.ok(one.socket.destroyed);
    assert.equal(one.driver.read(), null);
  }
});

/** Lets the opening's second pass, of which nothing happens before its end. */
async function timeOut(t: TestContext, { socket }: TestOpening): Promise<void> {
  await new Promise(setImmediate);
  t.mock.timers.tick(999);
  assert.ok(!socket.destroyed);
  t.mock.timers.tick(1);
}

test("a server that says nothing is given up in time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const one = testOpening("mysql");
  const opened = mysql.open(one.reader, one.opening);
  opened.catch(() => {});
  await timeOut(t, one);
  await assert.rejects(opened, {
    code: "database_sign_in_timeout",
    message: "db.example:1234 said nothing within 1000 ms",
    facts: { host: "db.example", port: 1234 },
  });
  const { one: other, opened: open } = await signingIn();
  t.mock.timers.tick(60_000);
  assert.ok(!other.socket.destroyed);
  other.server.write(packet(3, OK));
  await open;
});

test("a driver that does not answer the greeting in time is told, and the server's connection ends", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const one = testOpening("mysql");
  const opened = mysql.open(one.reader, one.opening);
  opened.catch(() => {});
  one.clear.write(packet(0, greeting()));
  await next(one.driver);
  one.driver.write(packet(1, answer()).subarray(0, 20));
  await timeOut(t, one);
  await assert.rejects(opened, {
    code: "database_driver_protocol",
    message: "the driver did not begin within 1000 ms",
  });
  assert.ok(one.socket.destroyed);
});

for (const [plugin, first, named] of [
  ["mysql_native_password", native(), "mysql_native_password"],
  ["caching_sha2_password", cachingSha2(), "caching_sha2_password"],
  ["mysql_clear_password", "secret\0", "mysql_clear_password"],
  ["", native(), "mysql_native_password"],
  // One that only others have: the server switches, or is content.
  ["auth_socket", "", "mysql_native_password"],
] as const) {
  test(`a server that begins with ${plugin || "no plugin"} gets the answer that it knows`, async () => {
    const { one, opened, sent } = await signingIn(greeting(plugin));
    const length = String.fromCharCode(first.length);
    const expected = `client\0${length}${first}orders\0${named}\0attributes`;
    assert.equal(sent.toString("latin1", 32), expected);
    one.server.write(packet(3, OK));
    assert.equal(await opened, one.tls);
  });
}

test("who has no password answers nothing", async () => {
  for (const plugin of ["mysql_native_password", "caching_sha2_password"]) {
    const { sent } = await signingIn(greeting(plugin), "");
    assert.equal(sent.toString("latin1", 32), `client\0\0orders\0${plugin}\0attributes`);
  }
});

test("a server may switch its plugin, and ask for the password within TLS", async () => {
  const { one, opened } = await signingIn();
  const other = "TSRQPONMLKJIHGFEDCBA";
  one.server.write(packet(3, `\xfecaching_sha2_password\0${other}\0`));
  assert.deepEqual(await next(one.server), {
    sequence: 4,
    body: Buffer.from(cachingSha2(other), "latin1"),
  });
  one.server.write(packet(5, "\x01\x03"));
  one.server.write(packet(6, "\x01\x04"));
  assert.deepEqual(await next(one.server), { sequence: 7, body: Buffer.from("secret\0") });
  one.server.write(packet(8, OK));
  assert.equal(await opened, one.tls);
});

test("a server that refuses, asks for what nobody has or does not go on is told by name", async () => {
  const more = packet(3, "\x01\x03");
  for (const [said, code, message] of [
    [
      packet(3, "\xff\x15\x04#28000Access denied"),
      "database_sign_in_refused",
      'refused "client": Access denied (1045, 28000)',
    ],
    [
      packet(3, `\xfe${"p".repeat(101)}\0x`),
      "database_sign_in_unsupported",
      `asks for the plugin "${"p".repeat(100)}"`,
    ],
    [packet(3, "\x01\x09"), "database_protocol", "does not speak MySQL's protocol"],
    [packet(3, "\x07"), "database_protocol", "does not speak MySQL's protocol"],
    [
      Buffer.concat(Array.from({ length: 17 }, () => more)),
      "database_protocol",
      "does not speak MySQL's protocol",
    ],
  ] as const) {
    const { one, opened } = await signingIn();
    one.server.write(said);
    await assert.rejects(opened, (failure: Failure) => {
      assert.equal(failure.code, code);
      assert.match(failure.message, /^db\.example:1234:? /);
      assert.ok(failure.message.endsWith(message), failure.message);
      const { host, port } = failure.facts;
      assert.deepEqual([host, port], ["db.example", 1234]);
      return true;
    });
  }
  const most = await signingIn();
  most.one.server.write(Buffer.concat([...Array.from({ length: 15 }, () => more), packet(4, OK)]));
  assert.equal(await most.opened, most.one.tls);
  const gone = await signingIn();
  gone.one.server.end(Buffer.from([1]));
  await assert.rejects(gone.opened, { code: "origin_closed" });
});

test("a test of a configuration signs in without a driver", async () => {
  const one = testOpening("mysql");
  one.clear.write(packet(0, greeting("", ALL & ~PLUGIN)));
  const secured = await mysql.secure(one.opening);
  assert.equal(secured.tls, one.tls);
  const { body } = await next(one.clear);
  assert.equal(body.readUInt32LE(0), PROTOCOL_41 | WITH_DB | SSL | SECURE);
  assert.deepEqual([body.length, body.readUInt32LE(4), body[8]], [32, 65_536, 45]);
  const signedIn = secured.signIn();
  const { body: own } = await next(one.server);
  const rest = `client\0\x14${native()}orders\0mysql_native_password\0`;
  assert.equal(own.toString("latin1", 32), rest);
  one.server.write(packet(3, OK));
  await signedIn;
});
