import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, describe, test, type TestContext } from "node:test";
import { createServer as createTls, type TlsOptions, type TLSSocket } from "node:tls";
import { ask, edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { makeAuthority, type TestAuthority } from "../helpers/pki.ts";

/** A server that breaks TLS, and how its failure is reported. */
interface Hostile {
  readonly what: string;
  readonly serve: (socket: Socket) => void;
  readonly code: string | RegExp;
}

const failed = "origin_handshake_failed";
const timeout = "origin_handshake_timeout";
const record = (type: number, body: string, version = "0303") =>
  Buffer.from(
    type.toString(16).padStart(2, "0") +
      version +
      (body.length / 2).toString(16).padStart(4, "0") +
      body,
    "hex",
  );
const message = (type: number, body: string) =>
  type.toString(16).padStart(2, "0") + (body.length / 2).toString(16).padStart(6, "0") + body;
/** A ServerHello that repeats the client's session id. */
const hello = (
  client: Buffer,
  {
    version = "0303",
    random = "11".repeat(32),
    suite = "c02b",
    extensions = "ff01000100",
    compression = "00",
    session = sessionOf(client),
  } = {},
) =>
  message(
    2,
    `${version}${random}${(session.length / 2).toString(16).padStart(2, "0")}${session}${suite}${compression}${(extensions.length / 2).toString(16).padStart(4, "0")}${extensions}`,
  );
const sessionOf = (client: Buffer) => client.subarray(44, 44 + client[43]!).toString("hex");
const onHello = (answer: (hello: Buffer) => Buffer) => (socket: Socket) =>
  void socket.once("data", (chunk: Buffer) => socket.write(answer(chunk)));
const drip = (bytes: (index: number) => Buffer, every: number) => (socket: Socket) => {
  let index = 0;
  const timer = setInterval(() => socket.write(bytes(index++)), every);
  socket.once("close", () => clearInterval(timer));
};

const cases: readonly Hostile[] = [
  { what: "says nothing", serve: () => {}, code: timeout },
  { what: "closes at once", serve: (socket) => void socket.end(), code: "origin_handshake_reset" },
  {
    what: "resets at once",
    serve: (socket) => void socket.resetAndDestroy(),
    code: "origin_handshake_reset",
  },
  {
    what: "closes within a record",
    serve: onHelloEnd(Buffer.from("160303ffff02", "hex")),
    code: /^origin_(handshake_reset|not_tls|handshake_failed)$/,
  },
  {
    what: "speaks HTTP",
    serve: onHello(() => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")),
    code: "origin_not_tls",
  },
  {
    what: "speaks SSH",
    serve: (socket) => void socket.write("SSH-2.0-OpenSSH_9.2\r\n"),
    code: "origin_not_tls",
  },
  { what: "sends zeros", serve: onHello(() => Buffer.alloc(4096)), code: "origin_not_tls" },
  {
    what: "sends 4 MB of noise",
    serve: onHello(() => Buffer.alloc(4_194_304, 0x5a)),
    code: "origin_not_tls",
  },
  {
    what: "sends a record that is too long",
    serve: onHello(() => Buffer.concat([Buffer.from("160303ffff", "hex"), Buffer.alloc(70_000)])),
    code: failed,
  },
  {
    what: "sends a record of SSL 2",
    serve: onHello(() => Buffer.from("802e0100020015000000101122334455667788", "hex")),
    code: /^origin_(not_tls|handshake_failed|protocol_version)$/,
  },
  {
    what: "sends empty records",
    serve: onHello(() => Buffer.concat(Array.from({ length: 200 }, () => record(22, "")))),
    code: failed,
  },
  {
    what: "drips a record for ever",
    serve: drip((index) => (index === 0 ? Buffer.from("1603034000", "hex") : Buffer.from([2])), 20),
    code: timeout,
  },
  {
    what: "fragments its hello for ever",
    serve: drip((index) => record(22, index === 0 ? "0200ffff" : "03"), 20),
    code: /^origin_handshake_(timeout|failed)$/,
  },
  {
    what: "announces a hello of 16 MB",
    serve: onHello(() => record(22, "02ffffff0303")),
    code: failed,
  },
  {
    what: "sends warnings without end",
    serve: drip(() => record(21, "015a"), 2),
    code: /^origin_handshake_(failed|timeout)$/,
  },
  {
    what: "sends 1,000 alerts at once",
    serve: onHello(() => Buffer.concat(Array.from({ length: 1000 }, () => record(21, "0100")))),
    code: /^origin_handshake_(failed|reset)$/,
  },
  {
    what: "sends a fatal alert that nobody knows",
    serve: onHello(() => record(21, "02fe")),
    code: /^origin_handshake_(failed|timeout)$/,
  },
  {
    what: "sends handshake_failure",
    serve: onHello(() => record(21, "0228")),
    code: "origin_no_shared_cipher",
  },
  {
    what: "sends insufficient_security",
    serve: onHello(() => record(21, "0247")),
    code: "origin_no_shared_cipher",
  },
  {
    what: "sends protocol_version",
    serve: onHello(() => record(21, "0246")),
    code: "origin_protocol_version",
  },
  {
    what: "sends unrecognized_name",
    serve: onHello(() => record(21, "0270")),
    code: "origin_name_unknown",
  },
  {
    what: "sends application data first",
    serve: onHello(() => record(23, "00".repeat(64))),
    code: failed,
  },
  {
    what: "sends ChangeCipherSpec alone",
    serve: onHello(() => Buffer.concat([record(20, "01"), record(20, "01"), record(20, "02")])),
    code: failed,
  },
  {
    what: "sends Finished first",
    serve: onHello(() => record(22, message(20, "00".repeat(12)))),
    code: failed,
  },
  { what: "sends a ClientHello", serve: onHello((client) => client), code: failed },
  {
    what: "chooses SSL 3",
    serve: onHello((client) => record(22, hello(client, { version: "0300" }))),
    code: "origin_protocol_version",
  },
  {
    what: "chooses TLS 1.0",
    serve: onHello((client) => record(22, hello(client, { version: "0301" }))),
    code: "origin_protocol_version",
  },
  {
    what: "chooses a version to come",
    serve: onHello((client) => record(22, hello(client, { version: "0505" }))),
    code: "origin_protocol_version",
  },
  {
    what: "chooses a suite that was not offered",
    serve: onHello((client) => record(22, hello(client, { suite: "002f" }))),
    code: failed,
  },
  {
    what: "chooses no encryption",
    serve: onHello((client) => record(22, hello(client, { suite: "0000" }))),
    code: failed,
  },
  {
    what: "chooses compression",
    serve: onHello((client) => record(22, hello(client, { compression: "01" }))),
    code: failed,
  },
  {
    what: "sends an extension that was not asked for",
    serve: onHello((client) => record(22, hello(client, { extensions: "12340000" }))),
    code: failed,
  },
  {
    what: "sends an extension twice",
    serve: onHello((client) => record(22, hello(client, { extensions: "ff01000100ff01000100" }))),
    code: failed,
  },
  {
    what: "marks a downgrade from TLS 1.3",
    serve: onHello((client) =>
      record(22, hello(client, { random: `${"11".repeat(24)}444f574e47524401` })),
    ),
    code: failed,
  },
  { what: "asks for another hello twice", serve: helloRetry, code: failed },
  {
    what: "sends a hello without an end",
    serve: onHello((client) => record(22, hello(client).slice(0, 60))),
    code: timeout,
  },
];

/** Changes that a man in the middle makes to the server's bytes, by piece, counted from 0. */
const changes: Readonly<Record<string, (chunk: Buffer, index: number) => Buffer>> = {
  "a flipped bit in the first flight": (chunk, index) => (index === 0 ? flip(chunk, 60) : chunk),
  "a flipped bit at the flight's end": (chunk, index) =>
    index === 0 ? flip(chunk, chunk.length - 3) : chunk,
  "a flipped bit after the first flight, in Finished or data": (chunk, index) =>
    index === 1 ? flip(chunk, chunk.length - 3) : chunk,
  "a record that comes twice": (chunk, index) =>
    index === 1 ? Buffer.concat([chunk, chunk]) : chunk,
  "noise after the first flight": (chunk, index) =>
    index === 0 ? Buffer.concat([chunk, Buffer.alloc(512, 0x17)]) : chunk,
};

function flip(chunk: Buffer, at: number): Buffer {
  const copy = Buffer.from(chunk);
  copy[at] = copy[at]! ^ 1;
  return copy;
}

describe("an origin that", () => {
  let gateway: TestGateway;
  let authority: TestAuthority;
  let good: string;
  const cleanups: (() => unknown)[] = [];
  const cleaner = {
    after: (cleanup: () => unknown) => void cleanups.push(cleanup),
  } as Pick<TestContext, "after">;
  before(async () => {
    authority = await makeAuthority();
    gateway = await testGateway(cleaner, { timeouts: { handshake: 1_000, headers: 3_000 } });
    await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
    await gateway.handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=client" })),
    );
    await gateway.bind();
    await gateway.bind({ bindingName: "OTHER" });
    good = `https://localhost:${await tlsServer(cleaner, authority, {})}/`;
  });
  after(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });

  for (const { what, serve, code } of cases) {
    test(`${what} fails its own request: ${String(code)}`, { timeout: 15_000 }, async (t) => {
      const { pid } = gateway.handle.status();
      const port = await listen(t, serve);
      const answers = await Promise.all([
        ask(gateway.socket(), `https://localhost:${port}/`),
        ask(gateway.socket({ bindingName: "OTHER" }), good),
      ]);
      const told = answers[0].headers["countersign-failure"] as string;
      if (typeof code === "string") assert.equal(told, code, answers[0].text);
      else assert.match(told, code, answers[0].text);
      assert.equal(answers[1].status, 200);
      assert.equal(gateway.handle.status().pid, pid);
      assert.equal(gateway.handle.status().restarts, 0);
    });
  }

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    for (const [what, change] of Object.entries(changes)) {
      test(`${what}, on ${maxVersion}, fails its own request`, { timeout: 15_000 }, async (t) => {
        const behind = await tlsServer(t, authority, { maxVersion, requestCert: true });
        const port = await listen(t, (client) => relay(client, behind, change));
        const answer = await ask(gateway.socket(), `https://localhost:${port}/`);
        // If the answer arrived completely before the change, it is an answer.
        const told = answer.headers["countersign-failure"] ?? `origin_response ${answer.status}`;
        assert.match(
          String(told),
          /^origin_(handshake_|not_tls|closed|failed|certificate_invalid|response)/,
        );
        const other = await ask(gateway.socket({ bindingName: "OTHER" }), good);
        assert.equal(other.status, 200);
        assert.equal(gateway.handle.status().restarts, 0);
      });
    }
  }

  test("sends a body of which a record is changed on the way cuts it at once", async (t) => {
    const server = createTls(await own(authority));
    const begun = Promise.withResolvers<TLSSocket>();
    server.on("secureConnection", (socket) => {
      socket
        .on("error", () => {})
        .once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst");
          begun.resolve(socket);
        });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    let isChanging = false;
    const behind = (server.address() as AddressInfo).port;
    const port = await listen(t, (client) =>
      relay(client, behind, (chunk) => (isChanging ? flip(chunk, chunk.length - 3) : chunk)),
    );
    const request = httpRequest({
      socketPath: gateway.socket(),
      path: `https://localhost:${port}/`,
    }).end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    await once(response, "data");
    isChanging = true;
    (await begun.promise).write("other");
    await once(response, "error", { signal: AbortSignal.timeout(5_000) });
    assert.equal((await ask(gateway.socket({ bindingName: "OTHER" }), good)).status, 200);
  });

  test("asks for renegotiation again and again is answered, or fails alone", async (t) => {
    const server = createTls({ ...(await own(authority)), maxVersion: "TLSv1.2" });
    server.on("tlsClientError", () => {});
    server.on("secureConnection", (socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        const again = (left: number): void => {
          if (left === 0 || socket.destroyed) {
            socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
          }
          socket.renegotiate({ rejectUnauthorized: false }, () => again(left - 1));
        };
        again(20);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const answer = await ask(gateway.socket(), `https://localhost:${port}/`);
    assert.ok(answer.status === 200 || answer.headers["countersign-failure"] !== undefined);
    assert.equal((await ask(gateway.socket({ bindingName: "OTHER" }), good)).status, 200);
    assert.equal(gateway.handle.status().restarts, 0);
  });
});

function relay(
  client: Socket,
  port: number,
  change: (chunk: Buffer, index: number) => Buffer,
): void {
  const server = connect(port, "127.0.0.1");
  let index = 0;
  server.on("error", () => client.destroy()).on("close", () => client.end());
  server.on("data", (chunk: Buffer) => client.write(change(chunk, index++)));
  client.on("data", (chunk) => server.write(chunk)).on("close", () => server.destroy());
}

function onHelloEnd(bytes: Buffer): (socket: Socket) => void {
  return (socket) => void socket.once("data", () => socket.end(bytes));
}

/** A HelloRetryRequest (RFC 8446, section 4.1.3) for another group, whatever the client answers. */
function helloRetry(socket: Socket): void {
  let session: string | undefined;
  socket.on("data", (client: Buffer) => {
    const random = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";
    const extensions = "002b00020304003300020018";
    session ??= sessionOf(client);
    socket.write(record(22, hello(client, { random, suite: "1301", extensions, session })));
  });
}

async function own(authority: TestAuthority): Promise<{ cert: string; key: string }> {
  const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  return { cert: chain, key };
}

async function tlsServer(
  t: Pick<TestContext, "after">,
  authority: TestAuthority,
  options: TlsOptions,
): Promise<number> {
  const server = createTls({ ...(await own(authority)), rejectUnauthorized: false, ...options });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function listen(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {}).once("close", () => open.delete(socket));
    socket.on("data", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
