import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { closed, pipelined } from "./helpers/pipelined.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { flags, frame, frames, uint32 } from "./helpers/raw-http2.ts";
import { scriptForm } from "./helpers/script-form.ts";

let platform: TestPlatform;
before(async () => {
  platform = await startPlatform({ args: ["--dev", "--https-port", "0"] });
  const form = scriptForm(
    { compatibility_date: "2026-11-01" },
    {
      "index.js": [
        "application/javascript+module",
        `export default { fetch: () => new Response("here") };`,
      ],
    },
  );
  await platform.api("PUT", "/accounts/{account}/workers/scripts/one", form);
});
after(() => platform[Symbol.asyncDispose]());

for (const [what, url, path] of [
  ["the ingress", () => platform.ready.http, "/"],
  ["the API", () => platform.ready.api, "/client/v4/ips"],
] as const) {
  test(`a client that sends thousands of requests without waiting is cut by ${what}, one that sends 30 is answered`, async () => {
    const request = `GET ${path} HTTP/1.1\r\nhost: one.localhost\r\n\r\n`;
    assert.equal(await pipelined(connectTo(url()), request, 30), 30);
    assert.ok((await pipelined(connectTo(url()), request, 5_000)) < 5_000);
    assert.equal((await platform.worker("one")).body, "here");
  });
}

for (const [what, type, payload] of [
  ["GOAWAY", frames.GOAWAY, uint32(0, 0)],
  ["WINDOW_UPDATE", 8, uint32(1)],
] as const) {
  test(`a client that sends ${what} without end is cut`, async () => {
    const socket = await http2Client();
    const all = Buffer.concat(
      Array.from({ length: 3_000 }, () => frame(type, flags.NONE, 0, payload)),
    );
    const go = (): void => {
      if (!socket.destroyed && socket.write(all)) setImmediate(go);
    };
    socket.on("drain", go);
    go();
    await closed(socket);
    assert.equal((await platform.worker("one")).body, "here");
  });
}

test("a client that takes back its requests without end is cut, one that takes back some is answered", async () => {
  const socket = await http2Client();
  const { port } = new URL(platform.ready.https!);
  let stream = 1;
  const takeBack = (count: number): void => {
    const all = Array.from({ length: count }, () => {
      const request = getHead(stream, `one.localhost:${port}`);
      const reset = frame(frames.RST_STREAM, flags.NONE, stream, uint32(CANCEL));
      stream += 2;
      return Buffer.concat([request, reset]);
    });
    socket.write(Buffer.concat(all));
  };
  takeBack(100);
  await answered(socket, stream, `one.localhost:${port}`);
  stream += 2;
  const others = Array.from({ length: 5 }, () => platform.worker("one"));
  takeBack(600);
  await closed(socket);
  for (const { body } of await Promise.all(others)) assert.equal(body, "here");
  assert.equal((await platform.worker("one")).body, "here");
});

/** Resolves when a request of this stream has its whole answer. */
async function answered(socket: TLSSocket, stream: number, authority: string): Promise<void> {
  let unread = Buffer.alloc(0);
  const whole = new Promise<void>((resolve, reject) => {
    socket.once("close", () => reject(new Error("the connection was closed")));
    socket.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        const isLast = (unread.readUInt8(4) & flags.END_STREAM) !== 0;
        const isData = unread.readUInt8(3) === frames.DATA;
        if (isData && isLast && unread.readUInt32BE(5) === stream) resolve();
        unread = unread.subarray(9 + unread.readUIntBE(0, 3));
      }
    });
  });
  socket.write(getHead(stream, authority));
  await whole;
}

/** `GET https://{authority}/` */
function getHead(stream: number, authority: string): Buffer {
  const named = Buffer.from([0x01, authority.length, ...Buffer.from(authority)]);
  const fields = Buffer.concat([Buffer.from([0x82, 0x87, 0x84]), named]);
  return frame(frames.HEADERS, flags.END_HEADERS | flags.END_STREAM, stream, fields);
}

const CANCEL = 8;

function connectTo(url: string): Socket {
  return connect(Number(new URL(url).port), "127.0.0.1");
}

async function http2Client(): Promise<TLSSocket> {
  const socket = connectTls({
    host: "127.0.0.1",
    port: Number(new URL(platform.ready.https!).port),
    servername: "one.localhost",
    ALPNProtocols: ["h2"],
    rejectUnauthorized: false,
  });
  socket.on("error", () => {}).resume();
  await once(socket, "secureConnect");
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(frames.SETTINGS, flags.NONE, 0, Buffer.alloc(0)));
  return socket;
}
