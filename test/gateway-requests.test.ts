import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { after, before, test } from "node:test";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { until } from "./helpers/until.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

const ended: (() => void | Promise<void>)[] = [];
let authority: TestAuthority;
let gateway: TestGateway;
before(async () => {
  authority = await makeAuthority();
  gateway = await testGateway(
    { after: (end: () => Promise<void>) => void ended.push(end) },
    { timeouts: { life: 1_000 } },
  );
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
});
after(async () => {
  for (const end of ended) await end();
});

type OnStream = (stream: ServerHttp2Stream, path: string, body: string) => void;

async function http2Origin(answer: OnStream, http1?: string): Promise<string> {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  // Not every option is in the types.
  const options = {
    key,
    cert: chain,
    allowHTTP1: true,
    maxHeaderSize: 1 << 20,
    maxSendHeaderBlockLength: 1 << 20,
    settings: { maxHeaderListSize: 1 << 20 },
  };
  const server: Http2SecureServer = createSecureServer(options);
  server.on("stream", (http2Stream, headers) => {
    const stream = http2Stream as ServerHttp2Stream;
    stream.on("error", () => {});
    let body = "";
    stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
    stream.on("end", () => answer(stream, headers[":path"]!, body));
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    if (request.httpVersionMajor === 1) request.resume().on("end", () => response.end(http1));
  });
  const sockets = new Set<{ destroy(): void }>();
  server.on("secureConnection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ended.unshift(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}

for (const [name, code] of [
  ["NO_ERROR", 0],
  ["INTERNAL_ERROR", 2],
  ["CANCEL", 8],
] as const) {
  test(`a body that an HTTP/2 origin cuts with ${name} never ends cleanly`, async () => {
    const cut = await rawHttp2Origin(frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code])));
    await assert.rejects(ask(gateway.socket(), cut), /aborted/);
    const whole = await rawHttp2Origin(
      Buffer.concat([
        frame(DATA, END_STREAM, 1, Buffer.alloc(0)),
        frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code])),
      ]),
    );
    assert.equal((await ask(gateway.socket(), whole)).text, "half");
  });
}

const [DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION] = [0, 1, 3, 4, 9];
const [ACK, END_STREAM, END_HEADERS] = [1, 1, 4];

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Answers its first stream with status 200, the beginning of a body, and then `rest`. */
/** Resolves once the connection is in `held`, or cannot be made. */
function hold(held: Set<Socket>): Promise<void> {
  const socket = connect(gateway.socket(), () => held.add(socket)).on("error", () => {});
  socket.once("close", () => held.delete(socket));
  return new Promise((resolve) => socket.once("connect", resolve).once("close", () => resolve()));
}

async function rawHttp2Origin(
  rest: Buffer,
  head: Buffer = frame(HEADERS, END_HEADERS, 1, Buffer.from([0x88])),
): Promise<string> {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = createTlsServer({ key, cert: chain, ALPNProtocols: ["h2"] }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    socket.once("data", () => {
      socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
      socket.write(head);
      socket.write(frame(DATA, 0, 1, Buffer.from("half")));
      setTimeout(() => socket.write(rest), 40);
    });
  });
  const sockets = new Set<TLSSocket>();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ended.unshift(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}

test("what an HTTP/2 origin refused unprocessed is sent again, a POST with its body too", async () => {
  let refused = 0;
  const origin = await http2Origin((stream, _, body) => {
    refused += 1;
    if (refused < 3) {
      stream.close(7);
      return;
    }
    stream.respond({ ":status": 200 });
    stream.end(body);
  });
  const { status, text } = await ask(gateway.socket(), origin, { method: "POST", body: "once" });
  assert.deepEqual([status, text, refused], [200, "once", 3]);
});

test("an origin that requires HTTP/1.1 gets this and all further requests over it", async () => {
  let streams = 0;
  const origin = await http2Origin((stream) => {
    streams += 1;
    stream.close(13);
  }, "over 1.1");
  for (const method of ["POST", "GET", "POST"]) {
    const { text } = await ask(
      gateway.socket(),
      origin,
      method === "GET" ? {} : { method, body: "x" },
    );
    assert.equal(text, "over 1.1");
  }
  assert.equal(streams, 1);
});

test("requests above the last stream of a GOAWAY go over another connection", async () => {
  const origin = await http2Origin((stream) => {
    if (stream.id! > 3) return;
    stream.respond({ ":status": 200 });
    stream.end("ok");
    if (stream.id === 3) stream.session!.goaway(0, 3);
  });
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      ask(gateway.socket(), origin, i % 2 === 0 ? {} : { method: "POST", body: "x" }),
    ),
  );
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["ok"]));
});

test("a 100 Continue that nobody asked for is passed over", async () => {
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      response.writeContinue();
      request.resume().on("end", () => response.end("went on"));
    },
  });
  for (const method of ["GET", "POST", "GET"]) {
    const { text } = await ask(gateway.socket(), origin.url, { method });
    assert.equal(text, "went on");
  }
});

test("a pool that is always busy moves to new connections, and cuts nothing", async () => {
  await using origin = await startOrigin({ authority });
  const connections: unknown[] = [];
  origin.server.on("secureConnection", (socket) => connections.push(socket));
  let asked = 0;
  for (; connections.length < 2; asked += 1) {
    assert.equal((await ask(gateway.socket(), origin.url)).status, 200);
  }
  assert.ok(asked > 2, `${asked} requests, each with a connection of its own`);
});

test("128 KB of headers pass each way, and what is more has a code", async () => {
  await using origin = await startOrigin({
    authority,
    tls: { maxHeaderSize: 1 << 20 },
    handler: (request, response) => {
      response.setHeader("x-back", "b".repeat(Number(request.url!.slice(1))));
      response.end(String(request.headers["x-big"]?.length));
    },
  });
  for (const [size, back, expected] of [
    [120_000, 1, "120000"],
    [1, 120_000, "1"],
    [130_000, 1, "binding_headers_too_large"],
    [1, 130_000, "origin_headers_too_large"],
    [300_000, 1, "binding_headers_too_large"],
    [3_000_000, 1, "binding_headers_too_large"],
    [1, 900_000, "origin_headers_too_large"],
  ] as const) {
    const answer = await answerTo(`${origin.url}/${back}`, { "x-big": "b".repeat(size) });
    assert.equal(answer, expected);
  }
  const long = await ask(gateway.socket(), `${origin.url}/${"u".repeat(17_000)}`);
  assert.deepEqual([long.status, long.json().error.code], [414, "binding_url_too_long"]);
});

test("an HTTP/2 origin gets and sends 120 KB of headers, one of 100 KB over HTTP/1.1", async () => {
  const origin = await http2Origin((stream, path) => {
    const each = "b".repeat(Number(path.slice(1)));
    stream.respond({ ":status": 200, "x-a": each, "x-b": each, "x-c": each });
    stream.end("ok");
  }, "ok over 1.1");
  for (const [headers, back, expected] of [
    [{ "x-a": "b".repeat(40_000), "x-b": "b".repeat(40_000), "x-c": "b".repeat(40_000) }, 1, "ok"],
    [{ "x-a": "b".repeat(100_000) }, 1, "ok over 1.1"],
    [{}, 40_000, "ok"],
    [{}, 60_000, "origin_headers_too_large"],
  ] as const) {
    assert.equal(await answerTo(`${origin}/${back}`, headers), expected);
  }
});

test("a header of more than 64 KB over HTTP/2, which no library accepts, is reported as malformed", async () => {
  const value = Buffer.alloc(70_000, "b");
  // A literal field without indexing, with its length as an HPACK integer: 7 bits, then twice 7 bits.
  const length = value.length - 127;
  const head = [
    0x88,
    0x10,
    3,
    ...Buffer.from("x-a"),
    127,
    (length & 127) | 128,
    ((length >> 7) & 127) | 128,
    length >> 14,
  ];
  const block = Buffer.concat([Buffer.from(head), value]);
  const parts = Array.from({ length: Math.ceil(block.length / 16_000) }, (_, i) =>
    block.subarray(i * 16_000, (i + 1) * 16_000),
  );
  const origin = await rawHttp2Origin(
    Buffer.alloc(0),
    Buffer.concat(
      parts.map((part, i) =>
        frame(i === 0 ? HEADERS : CONTINUATION, i === parts.length - 1 ? END_HEADERS : 0, 1, part),
      ),
    ),
  );
  assert.equal(await answerTo(origin), "origin_response_malformed");
});

/** The failure's code, or the text. */
async function answerTo(url: string, headers: Record<string, string> = {}): Promise<unknown> {
  const request = httpRequest({
    socketPath: gateway.socket(),
    path: url,
    headers,
    setHost: false,
    agent: false,
    maxHeaderSize: 1 << 20,
  }).end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const text = (await response.setEncoding("utf8").toArray()).join("");
  return response.headers["countersign-failure"] ?? text;
}

test("a binding has 1,024 connections; what is more is refused until some have closed", async () => {
  await using origin = await startOrigin({ authority });
  const held = new Set<Socket>();
  /**
   * In portions that the kernel's queue accepts. A refused connection, because another had not ended, is made again.
   */
  const fill = async (): Promise<void> => {
    while (held.size < 1_024) {
      const more = Array.from({ length: Math.min(64, 1_024 - held.size) }, () => hold(held));
      await Promise.all(more);
    }
  };
  const failure = async (): Promise<unknown> =>
    (await ask(gateway.socket(), origin.url)).headers["countersign-failure"];
  await until(async () => {
    await fill();
    return (await failure()) === "binding_connections_exhausted";
  });
  for (const socket of held) socket.destroy();
  await until(async () => (await failure()) === undefined);
});
