import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { readProxyHeader, takeProxyHeader } from "./proxy-protocol.ts";

const read = (text: string) => readProxyHeader(Buffer.from(text, "latin1"));
const signature = "0d0a0d0a000d0a515549540a";
const v2 = (hex: string) => readProxyHeader(Buffer.from(signature + hex, "hex"));

test("version 1 names the client, its port, and where the client's own bytes begin", () => {
  assert.deepEqual(read("PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\nGET /"), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 42,
  });
  assert.deepEqual(read("PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), {
    source: { address: "2001:db8::7", port: 1 },
    length: 32,
  });
  assert.deepEqual(read("PROXY UNKNOWN\r\n"), { source: null, length: 15 });
});

test("version 2 does, with additions that are skipped", () => {
  assert.deepEqual(v2("2111000fcb0071090a000001126701bb040000"), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 31,
  });
  const six = "20010db8000000000000000000000007";
  assert.deepEqual(v2(`21210024${six}${six}126701bb`), {
    source: { address: "2001:db8::7", port: 4711 },
    length: 52,
  });
  assert.deepEqual(v2("20000000"), { source: null, length: 16 });
  // What no address family is told of, and a proxy's own connection, whatever it tells of that.
  assert.deepEqual(v2("21000000"), { source: null, length: 16 });
  assert.deepEqual(v2("2011000ccb0071090a000001126701bb"), { source: null, length: 28 });
});

function line(from: number, to: number): string {
  return `PROXY TCP4 203.0.113.9 10.0.0.1 ${from} ${to}\r\n`;
}

test("the bounds of both versions are taken, and what is beyond them is not", () => {
  assert.equal(typeof read(line(65_535, 65_535)), "object");
  for (const [from, to] of [
    [65_536, 1],
    [1, 65_536],
  ] as const) {
    assert.equal(read(line(from, to)), "broken");
  }
  const longest = `PROXY UNKNOWN ${"x".repeat(91)}\r\n`;
  assert.deepEqual(read(longest), { source: null, length: 107 });
  assert.equal(read(longest.slice(0, 106)), "more");
  assert.equal(read(`${"PROXY UNKNOWN ".padEnd(106, "x")}\r\n`), "broken", "one byte more");
  const four = "cb0071090a000001126701bb";
  assert.deepEqual(v2(`2111000c${four}`), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 28,
  });
  assert.deepEqual(v2(`21110800${four}${"00".repeat(2048 - 12)}`), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 16 + 2048,
  });
  assert.equal(v2("21110801"), "broken");
});

test("a header is taken off a connection, a broken one closes it, and no other byte is", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const given = async (bytes: string): Promise<unknown[]> => {
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const [socket] = (await once(server, "connection")) as [Socket];
    t.after(() => client.on("error", () => {}).destroy());
    client.write(bytes);
    const closed = once(socket, "close").then(() => ["closed"]);
    const taken = new Promise<unknown[]>((resolve) => {
      takeProxyHeader(socket, (source) => {
        socket.once("data", (rest) => resolve([source, String(rest)]));
      });
    });
    return Promise.race([closed, taken]);
  };
  const source = { address: "203.0.113.9", port: 4711 };
  const header = "PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n";
  assert.deepEqual(await given(`${header}GET /`), [source, "GET /"]);
  assert.deepEqual(await given("PROXY UNKNOWN\r\nGET /"), [null, "GET /"]);
  assert.deepEqual(await given("GET /"), [undefined, "GET /"]);
  assert.deepEqual(await given("PROXY nobody\r\nGET /"), ["closed"]);
});

test("bytes without a header are left alone, and a broken header is told apart", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "POST", "\r\nX", "\x16\x03\x01"]) {
    assert.equal(read(text), "none", text);
  }
  for (const text of ["", "P", "PROXY", "PROXY TCP4 1.2.3.4", "\r\n\r\n"]) {
    assert.equal(read(text), "more", text);
  }
  for (const text of [
    "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
    "PROXY TCP4 203.0.113.9 10.0.0.1 99999 1\r\n",
    "PROXY TCP4 203.0.113.9  10.0.0.1 1 1\r\n",
    "PROXY UDP4 203.0.113.9 10.0.0.1 1 1\r\n",
    "PROXY UNKNOWNX\r\n",
    "PROXY  TCP4 203.0.113.9 10.0.0.1 1 1\r\n",
    "PROXY TCP4 203.0.113.9 10.0.0.1 1 1 \r\n",
    "PROXY TCP4 ::1 10.0.0.1 1 1\r\n",
    "PROXY TCP4 203.0.113.9 ::1 1 1\r\n",
    "PROXY PROXY UNKNOWN\r\n",
    "PROXY PROXY TCP4 203.0.113.9 10.0.0.1 1 1\r\n",
    `PROXY ${"x".repeat(200)}`,
  ]) {
    assert.equal(read(text), "broken", text);
  }
  const four = "000ccb0071090a000001126701bb";
  assert.equal(typeof v2(`2111${four}`), "object");
  for (const [head, why] of [
    ["3111", "another version"],
    ["2211", "another command"],
    ["2112", "UDP"],
    ["2131", "a Unix socket"],
  ] as const) {
    assert.equal(v2(`${head}${four}`), "broken", why);
  }
  assert.equal(v2(`21210023${"00".repeat(35)}`), "broken", "addresses of IPv6 cut off");
  assert.equal(v2("2111000b"), "more");
  assert.equal(v2(`2111000b${"00".repeat(11)}`), "broken", "addresses cut off");
  assert.equal(v2("2111ffff"), "broken", "longer than any");
});

test("any bytes are judged, and a header never reaches beyond them", () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 120 }).map((rest) => Buffer.from(rest)),
    fc
      .uint8Array({ maxLength: 80 })
      .map((rest) => Buffer.concat([Buffer.from(signature, "hex"), rest])),
    fc.string({ maxLength: 110 }).map((rest) => Buffer.from(`PROXY ${rest}\r\n`)),
  );
  fc.assert(
    fc.property(hostile, (bytes) => {
      const header = readProxyHeader(bytes);
      if (typeof header === "string") return;
      assert.ok(header.length <= bytes.length);
      // Every shorter piece of it waits for more.
      for (let i = 0; i < header.length; i++) {
        assert.equal(readProxyHeader(bytes.subarray(0, i)), "more");
      }
    }),
  );
});
