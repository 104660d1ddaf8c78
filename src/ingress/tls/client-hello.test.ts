import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo } from "node:net";
import { before, it } from "node:test";
import { connect } from "node:tls";
import * as fc from "fast-check";
import { readClientHello } from "./client-hello.ts";

let hello: Buffer;
let nameless: Buffer;
before(async () => {
  hello = await helloOf("host.example.com");
  nameless = await helloOf("");
});

async function helloOf(servername: string, protocols: string[] = []): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({
    socket: connectTcp(port, "127.0.0.1"),
    servername,
    ALPNProtocols: protocols,
  }).on("error", () => {});
  const [socket] = await once(server, "connection");
  const [bytes] = await once(socket, "data");
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The same message in records of `size` bytes. */
function inRecords(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

it("the name is read from a ClientHello, in one record or in many", () => {
  assert.deepEqual(readClientHello(hello), { name: "host.example.com", protocols: [] });
  assert.deepEqual(readClientHello(nameless), { name: null, protocols: [] });
  for (const size of [1, 3, 100]) {
    assert.deepEqual(readClientHello(inRecords(hello, size)), {
      name: "host.example.com",
      protocols: [],
    });
  }
});

it("what is offered by ALPN is read, in its order", async () => {
  const offered = await helloOf("host.example.com", ["h2", "acme-tls/1"]);
  const protocols = ["h2", "acme-tls/1"];
  assert.deepEqual(readClientHello(offered), { name: "host.example.com", protocols });
  assert.deepEqual(readClientHello(inRecords(offered, 7)), { name: "host.example.com", protocols });
});

it("a part of it asks for more, at every length", () => {
  for (let length = 0; length < hello.length; length++) {
    assert.equal(readClientHello(hello.subarray(0, length)), "more", `${length}`);
  }
});

it("what is no ClientHello has no name", () => {
  for (const text of [
    "GET / HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n",
    "\u0016\u0003\u0001\0\u0004\u0002\0\0\0",
  ]) {
    assert.deepEqual(readClientHello(Buffer.from(text, "latin1")), { name: null, protocols: [] });
  }
  assert.deepEqual(readClientHello(Buffer.from([22, 3, 1, 0, 0])), { name: null, protocols: [] });
  assert.deepEqual(readClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])), {
    name: null,
    protocols: [],
  });
});

it("whatever the bytes are, it does not throw and asks for more only up to a bound", () => {
  fc.assert(
    fc.property(
      fc.nat(2_000),
      fc.nat(255),
      fc.uint8Array({ maxLength: 300 }),
      (at, value, more) => {
        const bytes = Buffer.concat([hello, more]);
        bytes[at % bytes.length] = value;
        readClientHello(bytes);
        readClientHello(Buffer.from(more));
      },
    ),
    { numRuns: 500 },
  );
  const endless = inRecords(
    Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, 127, 255]), Buffer.alloc(40_000)]),
    1_000,
  );
  assert.notEqual(readClientHello(endless), "more");
});
