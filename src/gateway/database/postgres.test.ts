import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { bytes, testOpening, type TestOpening } from "../../../test/helpers/database-opening.ts";
import { Failure } from "../../failures/failures.ts";
import { postgres } from "./postgres.ts";
import { message } from "./postgres-messages.ts";

const VERSION = 3 << 16;
const SSL_REQUEST = first(80_877_103);
const GSS_REQUEST = first(80_877_104);
const OK = message("R", Buffer.alloc(4));
const SHOWN = { details: "public", ray: "r" } as const;

/** A driver's first packet. */
function first(code: number, body: Buffer | string = ""): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + Buffer.byteLength(body), 0);
  head.writeInt32BE(code, 4);
  return Buffer.concat([head, Buffer.from(body as string)]);
}

function request(kind: number, data: Buffer | string = ""): Buffer {
  const head = Buffer.alloc(4);
  head.writeInt32BE(kind);
  return message("R", Buffer.concat([head, Buffer.from(data as string)]));
}

/** A server that offers TLS, as far as the StartupMessage within it. */
async function begun({ clear, server }: TestOpening): Promise<string> {
  assert.deepEqual(await bytes(clear, 8), SSL_REQUEST);
  clear.write("S");
  const length = (await bytes(server, 4)).readInt32BE();
  return (await bytes(server, length - 4)).toString("latin1");
}

async function nextMessage(server: Duplex): Promise<{ type: string; body: Buffer }> {
  const head = await bytes(server, 5);
  const length = head.readInt32BE(1) - 4;
  const body = length === 0 ? Buffer.alloc(0) : await bytes(server, length);
  return { type: head.toString("latin1", 0, 1), body };
}

test("a driver's session is the configuration's user in its database, with the driver's own wishes", async () => {
  const one = testOpening("postgres");
  const opened = postgres.open(one.reader, one.opening);
  for (const ask of [SSL_REQUEST, GSS_REQUEST]) {
    one.driver.write(ask);
    assert.equal(String(await bytes(one.driver, 1)), "N");
  }
  const wishes = "user\0anyone\0database\0orders\0application_name\0till\0\0";
  one.driver.write(first(VERSION + 2, wishes));
  const own = "user\0client\0database\0orders\0application_name\0till\0\0";
  assert.equal(await begun(one), `\0\x03\0\x02${own}`);
  const notice = message("N", Buffer.from("notice"));
  one.server.write(Buffer.concat([notice, message("v", Buffer.from("v")), OK, Buffer.from("S")]));
  assert.equal(await opened, one.tls);
  assert.deepEqual(
    await bytes(one.driver, 26),
    Buffer.concat([notice, message("v", Buffer.from("v")), OK]),
  );
  assert.equal(String(await bytes(one.tls, 1)), "S", "what follows is for the driver");
});

test("a driver that names no database gets the binding's, one that names another is told", async () => {
  const one = testOpening("postgres");
  const opened = postgres.open(one.reader, one.opening);
  one.driver.write(first(VERSION, "user\0x\0\0"));
  assert.equal(await begun(one), "\0\x03\0\0user\0client\0database\0orders\0\0");
  one.server.write(OK);
  await opened;
  const other = testOpening("postgres");
  other.driver.write(first(VERSION, `database\0${"x".repeat(101)}\0\0`));
  await assert.rejects(postgres.open(other.reader, other.opening), {
    code: "database_name_other",
    message: `the driver asks for the database "${"x".repeat(100)}", and the binding leads to "orders"`,
  });
  assert.equal(other.dialled(), 0);
});

test("what is no driver of PostgreSQL's is told so, and no server is asked for it", async () => {
  for (const said of [
    first(2 << 16, "\0"),
    first(VERSION, "user\0x"),
    first(VERSION, "user\0"),
    first(VERSION, "user\0x\0\0more"),
    Buffer.from([0, 0, 0, 7, 0, 3, 0, 0]),
    Buffer.from([0, 0, 39, 17, 0, 3, 0, 0]),
    Buffer.concat([SSL_REQUEST, SSL_REQUEST, SSL_REQUEST, first(VERSION, "\0")]),
    Buffer.from("\0\0"),
  ]) {
    const one = testOpening("postgres");
    one.driver.end(said);
    await assert.rejects(postgres.open(one.reader, one.opening), {
      code: "database_driver_protocol",
    });
    assert.equal(one.dialled(), 0);
  }
});

test("a request to cancel a query reaches the server within TLS, and is done when the server closes", async () => {
  const one = testOpening("postgres");
  const opened = postgres.open(one.reader, one.opening);
  const cancel = first(80_877_102, Buffer.from([0, 0, 0, 1, 1, 2, 3, 4]));
  one.driver.write(cancel);
  assert.deepEqual(await bytes(one.clear, 8), SSL_REQUEST);
  one.clear.write("S");
  assert.deepEqual(await bytes(one.server, 16), cancel);
  one.server.end();
  one.server.resume();
  assert.equal(await opened, null);
});

test("a server that wants the password gets it as it asks: plain, or as MD5", async () => {
  const salt = Buffer.from([1, 2, 3, 4]);
  for (const [asks, expected] of [
    [request(3), "secret\0"],
    [request(5, salt), `md5${md5(md5("secret", "client"), salt)}\0`],
  ] as const) {
    const { one, opened } = await signingIn();
    one.server.write(asks);
    const { type, body } = await nextMessage(one.server);
    assert.deepEqual([type, String(body)], ["p", expected]);
    one.server.write(OK);
    assert.equal(await opened, one.tls);
    const wrong = await signingIn();
    wrong.one.server.write(asks);
    await nextMessage(wrong.one.server);
    wrong.one.server.write(message("E", Buffer.from("C28P01\0Mwrong password\0\0")));
    await assert.rejects(wrong.opened, { code: "database_sign_in_refused" });
  }
});

test("with SCRAM neither side gives the password away, and a server that does not know it is found out", async () => {
  for (const knows of [true, false, "skips"]) {
    const { one, opened } = await signingIn();
    opened.catch(() => {});
    one.server.write(request(10, "SCRAM-SHA-256\0\0"));
    const initial = (await nextMessage(one.server)).body.toString("latin1");
    assert.ok(initial.startsWith("SCRAM-SHA-256\0"));
    const bare = initial.slice(initial.indexOf("n=*"));
    const salt = randomBytes(16);
    const nonce = `${/r=(.*)/.exec(bare)![1]}more`;
    const challenge = `r=${nonce},s=${salt.toString("base64")},i=4096`;
    one.server.write(request(11, challenge));
    const final = (await nextMessage(one.server)).body.toString("latin1");
    const [unproved = ""] = final.split(",p=");
    const salted = pbkdf2Sync("secret", salt, 4096, 32, "sha256");
    const signed = `${bare},${challenge},${unproved}`;
    const clientKey = hmac(salted, "Client Key");
    const stored = createHash("sha256").update(clientKey).digest();
    const proof = hmac(stored, signed).map((byte, i) => byte ^ clientKey[i]!);
    assert.equal(final.split(",p=")[1], Buffer.from(proof).toString("base64"));
    const key = hmac(salted, knows === true ? "Server Key" : "guessed");
    const proved = request(12, `v=${hmac(key, signed).toString("base64")}`);
    if (knows !== "skips") one.server.write(proved);
    one.server.write(OK);
    if (knows === true) assert.equal(await opened, one.tls);
    else await assert.rejects(opened, { code: "database_sign_in_unsupported" });
  }
});

test("a server has one key derived for a connection, in its owner's turn", async () => {
  const { one, opened } = await signingIn();
  let derived = 0;
  one.opening.derive = async (work) => {
    derived += 1;
    return await work();
  };
  for (const round of ["first", "again"]) {
    one.server.write(request(10, "SCRAM-SHA-256\0\0"));
    if (round === "again") break;
    const initial = (await nextMessage(one.server)).body.toString("latin1");
    one.server.write(request(11, `r=${/r=(.*)/.exec(initial)![1]}more,s=c2FsdA==,i=4096`));
    await nextMessage(one.server);
  }
  await assert.rejects(opened, {
    code: "database_sign_in_unsupported",
    message: "db.example:1234: SASL out of order",
  });
  assert.equal(derived, 1);
});

test("who has left before its turn has no key derived", async () => {
  const { one, opened } = await signingIn();
  one.opening.derive = async (work) => {
    one.tls.destroy();
    return await work();
  };
  one.server.write(request(10, "SCRAM-SHA-256\0\0"));
  const initial = (await nextMessage(one.server)).body.toString("latin1");
  one.server.write(request(11, `r=${/r=(.*)/.exec(initial)![1]}more,s=c2FsdA==,i=4096`));
  await assert.rejects(opened, { code: "origin_closed" });
  assert.equal(one.server.read(), null);
});

test("a server that asks for what the gateway cannot give, or out of order, is told by what it asked", async () => {
  for (const [asks, what] of [
    [request(7), "authentication 7"],
    [message("R", Buffer.alloc(3)), "authentication -1"],
    [request(10, "OTHER\0\0"), "SASL: Only mechanism\\(s\\) SCRAM-SHA-256 are supported"],
    [request(11), "SASL out of order"],
    [request(12), "SASL out of order"],
  ] as const) {
    const { one, opened } = await signingIn();
    one.server.write(asks);
    await assert.rejects(opened, {
      code: "database_sign_in_unsupported",
      message: new RegExp(`^db.example:1234: ${what}`),
      facts: { host: "db.example", port: 1234 },
    });
    assert.ok(one.tls.destroyed);
  }
});

test("a server that refuses is told with its own words, whatever it says", async () => {
  for (const [fields, said, sqlState] of [
    ["SFATAL\0C28P01\0Mno\x1b[2J\n entry\u202e\0\0", "no\\u001b[2J\\u000a entry\\u202e", "28P01"],
    ["C28p01\0\0", "no message", "08004"],
    ["C28P011\0M\0\0", "", "08004"],
    [`M${"x".repeat(600)}\0`, "x".repeat(500), "08004"],
  ] as const) {
    const { one, opened } = await signingIn();
    one.server.write(message("E", Buffer.from(fields)));
    await assert.rejects(opened, {
      code: "database_sign_in_refused",
      message: `db.example:1234 refused "client": ${said} (${sqlState})`,
      facts: { host: "db.example", port: 1234, sqlState },
    });
  }
});

test("a server that does not speak PostgreSQL, or without end, is told so", async () => {
  const notice = message("N", Buffer.alloc(0));
  for (const said of [
    message("Z", Buffer.from("I")),
    Buffer.from("R\0\0\0\x03"),
    Buffer.from([0x52, 0, 1, 0, 5]),
    Buffer.concat(Array.from({ length: 32 }, () => notice)),
    Buffer.concat([40_000, 30_000].map((length) => message("N", Buffer.alloc(length)))),
  ]) {
    const { one, opened } = await signingIn();
    one.server.write(said);
    await assert.rejects(opened, {
      code: "database_protocol",
      message: "db.example:1234 does not speak PostgreSQL's protocol",
      facts: { host: "db.example", port: 1234 },
    });
  }
  const most = await signingIn();
  most.one.server.write(Buffer.concat(Array.from({ length: 31 }, () => notice)));
  most.one.server.write(OK);
  await most.opened;
  const gone = await signingIn();
  gone.one.server.end("R\0");
  await assert.rejects(gone.opened, { code: "origin_closed" });
});

test("a test of a configuration signs in and waits until queries are taken, or why they are not", async () => {
  const refusal = message("E", Buffer.from("C3D000\0Mno such database\0\0"));
  const status = message("S", Buffer.from("a\0b\0"));
  for (const [said, code] of [
    [[OK, status, message("Z", Buffer.from("I"))], null],
    [[OK, status, refusal], "database_sign_in_refused"],
    [[OK, ...Array.from({ length: 200 }, () => status)], "database_protocol"],
  ] as const) {
    const one = testOpening("postgres");
    const [secured, startup] = await Promise.all([
      postgres.secure(one.opening),
      // Within TLS nothing is said before the sign-in.
      bytes(one.clear, 8).then((asked) => {
        one.clear.write("S");
        return asked;
      }),
    ]);
    assert.deepEqual([secured.tls, startup], [one.tls, SSL_REQUEST]);
    const signedIn = secured.signIn();
    const length = (await bytes(one.server, 4)).readInt32BE();
    const own = (await bytes(one.server, length - 4)).toString("latin1");
    assert.equal(own, "\0\x03\0\0user\0client\0database\0orders\0\0");
    one.server.write(Buffer.concat(said));
    if (code === null) await signedIn;
    else await assert.rejects(signedIn, { code });
  }
});

test("an open session is told of its end between a server's messages, and not within one", () => {
  const failure = new Failure("database_gone");
  const row = message("D", Buffer.from("row"));
  for (const [pieces, isTold] of [
    [[], true],
    [[row], true],
    [[row, row], true],
    [[row.subarray(0, 6), row.subarray(6)], true],
    [[row.subarray(0, 2), row.subarray(2, 4), row.subarray(4)], true],
    [[Buffer.concat([row, row.subarray(0, 1)])], false],
    [[row.subarray(0, 5)], false],
    [[row.subarray(0, 7)], false],
    // It has said itself why it ends.
    [[message("E", Buffer.from("\0"))], false],
    // What no server sends.
    [[Buffer.from("D\0\0\0\x03"), row], false],
  ] as const) {
    const follower = postgres.follow();
    for (const piece of pieces) follower.see(piece);
    assert.equal(follower.refusal(failure, SHOWN) !== null, isTold, String(pieces));
  }
});

test("a failure says where to look, and to others than the owner no names", () => {
  for (const [failure, details, sqlState, said] of [
    ["database_gone", "public", "08001", "database_gone: a\0b"],
    ["database_connections_exhausted", "public", "53300", "database_connections_exhausted: a\0b"],
    ["binding_connections_exhausted", "public", "53300", "binding_connections_exhausted: a\0b"],
    ["database_name_other", "public", "3D000", "database_name_other: a\0b"],
    ["database_driver_protocol", "public", "08P01", "database_driver_protocol: a\0b"],
    ["origin_connection_cut", "public", "08006", "origin_connection_cut: a\0b"],
    ["database_session_idle", "public", "08006", "database_session_idle: a\0b"],
    ["database_session_ended", "public", "08006", "database_session_ended: a\0b"],
    ["origin_refused_certificate_ca", "public", "08004", "origin_refused_certificate_ca: a\0b"],
    ["database_gone", "owner", "08001", null],
  ] as const) {
    const made = new Failure(failure, { message: "a\0b", fix: "names db.example" });
    const sent = postgres.refusal(made, { details, ray: "r1" });
    const fields = sent.toString("utf8", 5).split("\0");
    const told = (said ?? `database_gone: ${made.entry.title} (ray r1)`).replace("\0", " ");
    const fix = details === "public" ? "names db.example" : made.entry.fix;
    assert.deepEqual(fields, [
      "SFATAL",
      "VFATAL",
      `C${sqlState}`,
      `M${told}`,
      `D${made.entry.cause}`,
      `H${fix}`,
      "",
      "",
    ]);
  }
  const facts = { sqlState: "28P01" };
  const server = new Failure("database_sign_in_refused", { facts });
  assert.match(String(postgres.refusal(server, SHOWN)), /C28P01\0/);
});

/** A driver that has begun, up to the server's turn. */
async function signingIn(): Promise<{ one: TestOpening; opened: Promise<unknown> }> {
  const one = testOpening("postgres");
  const opened = postgres.open(one.reader, one.opening);
  opened.catch(() => {});
  one.driver.write(first(VERSION, "user\0x\0\0"));
  await begun(one);
  return { one, opened };
}

function md5(...parts: (string | Buffer)[]): string {
  const hash = createHash("md5");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
