import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { createServer } from "node:tls";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { flags, frame, frames, okHead, rawHttp2Origin, uint32 } from "./helpers/raw-http2.ts";
import { until } from "./helpers/until.ts";

const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

const ended: (() => void | Promise<void>)[] = [];
let authority: TestAuthority;
let gateway: TestGateway;
before(async () => {
  authority = await makeAuthority();
  gateway = await testGateway({ after: (end: () => Promise<void>) => void ended.push(end) }, {});
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
});
after(async () => {
  for (const end of ended) await end();
});

for (const [what, head] of [
  [
    "sends informational responses without end",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
  ],
  ["answers with the status 099", "HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n"],
] as const) {
  test(`the response of an origin that ${what} is malformed, and its connection is closed`, async () => {
    const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    let closed = 0;
    const server = createServer({ key, cert: chain }, (socket) => {
      socket.on("error", () => {}).on("close", () => (closed += 1));
      const go = (): void => {
        if (!socket.destroyed && socket.write(head.repeat(100))) setImmediate(go);
      };
      socket.on("drain", go).once("data", go);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ended.unshift(() => void server.close());
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const { headers } = await ask(gateway.socket(), url);
    assert.equal(headers["countersign-failure"], "origin_response_malformed");
    await until(() => closed === 1);
  });
}

test("an origin that tells progress a thousand times is waited for", async () => {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = createServer({ key, cert: chain }, (socket) => {
    const progress = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    const answer = `${progress}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`;
    socket.on("error", () => {}).on("data", () => socket.write(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ended.unshift(() => void server.close());
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  // Twice: the count begins anew with each response.
  assert.equal((await ask(gateway.socket(), url)).text, "ok");
  assert.equal((await ask(gateway.socket(), url)).text, "ok");
});

test("an origin that sends GOAWAY without end is malformed, and its connection is closed", async () => {
  let open = 0;
  await using origin = await rawHttp2Origin(authority, (connection, { type }) => {
    if (type !== frames.HEADERS) return;
    open += 1;
    connection.socket.on("close", () => (open -= 1));
    const go = (): void => {
      for (let i = 0; i < 50; i += 1) {
        connection.send(frames.GOAWAY, flags.NONE, 0, uint32(0x7fffffff, 0));
      }
      if (open > 0) setImmediate(go);
    };
    go();
  });
  const { headers } = await ask(gateway.socket(), origin.url);
  assert.equal(headers["countersign-failure"], "origin_response_malformed");
  await until(() => open === 0);
});

/** What nobody can make an answer of, however much of it comes. */
const endless: readonly (readonly [what: string, head: string, again: string, code: string])[] = [
  ["blank lines", "", "\r\n", "origin_response_malformed"],
  ["a reason", "HTTP/1.1 200 ", "a", "origin_response_malformed"],
  ["small fields", "HTTP/1.1 200 OK\r\n", "a: b\r\n", "origin_headers_too_large"],
  ["an extension of a chunk", `${CHUNKED}5;`, "a=b;", "cut"],
  ["a chunk's length", CHUNKED, "0", "cut"],
  ["trailers", `${CHUNKED}0\r\n`, "a: b\r\n", "cut"],
];
for (const [what, head, again, code] of endless) {
  test(`an origin that sends ${what} without end is cut at once`, async () => {
    const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const sent = again.repeat(10_000);
    let closed = 0;
    const server = createServer({ key, cert: chain }, (socket) => {
      socket.on("error", () => {}).on("close", () => (closed += 1));
      const go = (): void => {
        if (!socket.destroyed && socket.write(sent)) setImmediate(go);
      };
      socket.on("drain", go).once("data", () => {
        socket.write(head);
        go();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ended.unshift(() => void server.close());
    const asked = ask(
      gateway.socket(),
      `https://localhost:${(server.address() as AddressInfo).port}`,
    );
    const told = await asked.then(
      ({ headers }) => headers["countersign-failure"],
      () => "cut",
    );
    assert.equal(told, code);
    await until(() => closed === 1);
  });
}

/** Frames that nobody needs, or that nghttp2 takes any number of. */
const unneeded: readonly (readonly [
  what: string,
  type: number,
  stream: number,
  payload: Buffer,
])[] = [
  ["WINDOW_UPDATE", 8, 0, uint32(1)],
  ["ALTSVC", 10, 0, Buffer.from('\0\x05httpsh2=":1"', "latin1")],
  ["ORIGIN", 12, 0, Buffer.from("\0\x09https://a", "latin1")],
  ["RST_STREAM of a stream that is over", 3, 1, uint32(8)],
];
for (const [what, type, stream, payload] of unneeded) {
  test(`an origin that sends ${what} without end is cut within a second`, async () => {
    let open = 0;
    await using origin = await rawHttp2Origin(authority, (connection, got) => {
      if (got.type !== frames.HEADERS) return;
      open += 1;
      connection.socket.on("close", () => (open -= 1));
      const all = Buffer.concat(
        Array.from({ length: 2_000 }, () => frame(type, flags.NONE, stream, payload)),
      );
      const go = (): void => {
        if (!connection.socket.destroyed && connection.socket.write(all)) setImmediate(go);
      };
      connection.socket.on("drain", go);
      go();
    });
    const { headers } = await ask(gateway.socket(), origin.url);
    assert.match(String(headers["countersign-failure"]), /^origin_(response_malformed|failed)$/);
    await until(() => open === 0);
  });
}

test("an origin that answers a large upload and a large download with many small frames is heard", async () => {
  await using origin = await rawHttp2Origin(authority, (connection, { type, bits, stream }) => {
    if (type === frames.DATA) {
      const update = frame(8, flags.NONE, 0, uint32(16_384));
      connection.socket.write(
        Buffer.concat([update, frame(8, flags.NONE, stream, uint32(16_384))]),
      );
    }
    if (type !== frames.DATA || (bits & flags.END_STREAM) === 0) return;
    connection.send(frames.HEADERS, flags.END_HEADERS, stream, okHead());
    const small = frame(frames.DATA, flags.NONE, stream, Buffer.from("x"));
    connection.socket.write(Buffer.concat(Array.from({ length: 50_000 }, () => small)));
    connection.send(frames.DATA, flags.END_STREAM, stream, Buffer.from("."));
  });
  const body = Buffer.alloc(8 * 1024 * 1024);
  const { status, text } = await ask(gateway.socket(), origin.url, { method: "POST", body });
  assert.deepEqual([status, text.length], [200, 50_001]);
});
