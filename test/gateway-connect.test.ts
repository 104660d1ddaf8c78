import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { test, type TestContext } from "node:test";
import { createServer, TLSSocket, type TlsOptions } from "node:tls";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";
import type { StartGatewayOptions } from "../src/gateway/start-options.ts";
import { freePort } from "./helpers/free-port.ts";

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const STARTUP = Buffer.from([0, 0, 0, 8, 0, 3, 0, 0]);

test("connect() is half-open both ways", async (t) => {
  const { gateway, server } = await ready(t);
  let got = "";
  const port = await listen(
    t,
    createServer({ ...server, allowHalfOpen: true }, (socket) => {
      socket.on("data", (data: Buffer) => {
        got += data.toString();
        if (got === "go") socket.end("bye");
      });
      socket.on("end", () => {
        got += ".";
        socket.end();
      });
    }),
  );
  const first = await connectTo(gateway, port);
  first.write("go");
  assert.equal(await textOf(first), "bye");
  first.write(" after");
  first.end();
  await until(() => got === "go after.");
  got = "";
  const second = await connectTo(gateway, port);
  second.end("all");
  assert.equal(await textOf(second), "");
  assert.equal(got, "all.");
});

test("connect() reaches a server that speaks first, within TLS", async (t) => {
  const { gateway, server } = await ready(t);
  const port = await listen(
    t,
    createServer(server, (socket) => void socket.write("* OK ready\r\n")),
  );
  const socket = await connectTo(gateway, port);
  assert.equal(await some(socket), "* OK ready\r\n");
  socket.destroy();
});

for (const [kind, closesFor] of [
  ["that knows no other way to begin TLS", "a handshake"],
  ["that takes a handshake at once, and wants its protocol named (17)", "no ALPN"],
] as const) {
  test(`connect() finds out on any port that there is a PostgreSQL ${kind}`, async (t) => {
    const { gateway, server } = await ready(t);
    const begun: string[] = [];
    const port = await listen(t, postgres(server, closesFor, begun));
    for (const first of [STARTUP, SSL_REQUEST, SSL_REQUEST]) {
      const socket = await connectTo(gateway, port);
      socket.write(first);
      if (first === SSL_REQUEST) {
        assert.equal(await some(socket), "S");
        socket.write(STARTUP);
      }
      assert.equal(await some(socket), `R ${STARTUP.toString("hex")}`);
      socket.destroy();
    }
    // The way is found once; later connections begin with it.
    assert.deepEqual(begun, ["handshake", "request", "request", "request"]);
  });
}

test("a driver that begins TLS itself is told apart, in the log and to the Worker", async (t) => {
  const { gateway, server } = await ready(t);
  const port = await listen(t, postgres(server, "a handshake"));
  const socket = await connectTo(gateway, port);
  socket.write(SSL_REQUEST);
  assert.equal(await some(socket), "S");
  socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
  socket.resume();
  await once(socket, "end");
  assert.equal(await reason(gateway, port), "connect_second_tls");
  await until(() => gateway.events.some(({ kind }) => kind === "failure"));
});

for (const onPort of [true, false]) {
  test(`connect() makes MySQL's switch to TLS for a driver, ${onPort ? "on its port" : "on any port"}`, async (t) => {
    const port = await freePort();
    const { gateway, server } = await ready(t, onPort ? { mysqlPorts: [port] } : {});
    await listen(t, mysql(server), port);
    const socket = await connectTo(gateway, port);
    const greets = await bytes(socket);
    assert.deepEqual([greets[3], greets[4]], [0, 10]);
    socket.write(packet(1, clientAnswer("root")));
    // Numbered as if nothing had been sent in between.
    const more = await bytes(socket);
    assert.deepEqual([more[3], more.subarray(4).toString()], [2, "\u0001more"]);
    socket.write(packet(3, Buffer.from("password")));
    const ok = await bytes(socket);
    assert.deepEqual([ok[3], ok[4]], [4, 0]);
    socket.write(packet(0, Buffer.from("\u0003select 1")));
    const rows = await bytes(socket);
    assert.deepEqual([rows[3], rows.subarray(4).toString()], [1, "rows"]);
    socket.destroy();
  });
}

test("an untrusted MySQL server is reported in MySQL's own protocol", async (t) => {
  const port = await freePort();
  const { gateway } = await ready(t, { mysqlPorts: [port] });
  const other = await makeAuthority();
  const { key, chain } = await other.issue({ subject: "CN=localhost", dns: ["localhost"] });
  await listen(t, mysql({ key, cert: chain }), port);
  const socket = await connectTo(gateway, port);
  await bytes(socket);
  socket.write(packet(1, clientAnswer("root")));
  const error = await bytes(socket);
  assert.deepEqual([error[3], error[4]], [2, 0xff]);
  assert.match(error.toString(), /#08S01origin_certificate_unknown_ca: /);
});

test("a MySQL server without TLS is told apart", async (t) => {
  const port = await freePort();
  const { gateway } = await ready(t, { mysqlPorts: [port] });
  await listen(
    t,
    createTcpServer((socket) => void socket.on("error", () => {}).write(greeting(0))),
    port,
  );
  const response = await refused(gateway, port);
  assert.equal(response.headers["countersign-failure"], "origin_mysql_no_tls");
});

test("a certificate that is refused after the handshake is in the log, and in the driver's protocol", async (t) => {
  const port = await freePort();
  const { gateway, server } = await ready(t, { postgresPorts: [port] });
  await listen(t, postgres(server, "the certificate"), port);
  const socket = await connectTo(gateway, port);
  socket.write(STARTUP);
  const error = await bytes(socket);
  assert.match(
    error.toString("latin1"),
    /^E[^]*C08001\0Morigin_(?:refused_certificate|closed_first)/,
  );
  assert.match(await reason(gateway, port), /^origin_(?:refused_certificate|closed_first)/);
  await until(() => gateway.events.some(({ kind }) => kind === "failure"));
});

test("a revocation cuts what connect() opened, and says why", async (t) => {
  const { gateway, server, certificate } = await ready(t);
  const port = await listen(
    t,
    createServer(server, (socket) => void socket.on("error", () => {}).write("hello")),
  );
  const socket = await connectTo(gateway, port);
  assert.equal(await some(socket), "hello");
  const closed = once(socket, "end");
  socket.resume();
  await gateway.handle.setCertificate({ ...certificate, revokedOn: new Date().toISOString() });
  await closed;
  assert.equal(await reason(gateway, port), "origin_connection_cut");
});

for (const [when, hello, question, said] of [
  ["in the middle", "hello", "go on", /broke the connection off, over which it had sent data/],
  ["after a question", "", "go on", /after it had got data, and before it had sent any/],
  ["at once", "", "", /before anything was sent over it/],
] as const) {
  test(`a connection that the origin resets ${when} is in the log, and a Worker that asks is told`, async (t) => {
    const { gateway, server } = await ready(t);
    const port = await listen(
      t,
      createTcpServer((socket) => {
        const secured = new TLSSocket(socket, { ...server, requestCert: false, isServer: true });
        secured.on("error", () => {});
        secured.once("secure", () => {
          if (hello !== "") secured.write(hello);
          if (question === "") setTimeout(() => socket.resetAndDestroy(), 100);
        });
        secured.once("data", () => socket.resetAndDestroy());
      }),
    );
    const socket = await connectTo(gateway, port);
    if (hello !== "") assert.equal(await some(socket), hello);
    const ended = once(socket, "end");
    socket.resume();
    if (question !== "") socket.write(question);
    await ended;
    assert.equal(await reason(gateway, port), "origin_closed");
    await until(() => gateway.events.some(({ kind }) => kind === "failure"));
    const { message } = gateway.events.find((event) => event.kind === "failure")!;
    assert.match(message, said);
  });
}

test("a Worker has a limit of connections, and an idle one is closed", async (t) => {
  const { gateway, server } = await ready(t, { streams: 2, timeouts: { stream: 700 } });
  const port = await listen(
    t,
    createServer(server, (socket) => void socket.on("error", () => {})),
  );
  const open = [await connectTo(gateway, port), await connectTo(gateway, port)];
  const response = await refused(gateway, port);
  assert.equal(response.headers["countersign-failure"], "connect_streams_exhausted");
  await Promise.all(open.map((socket) => once(socket.resume(), "end")));
  assert.equal(await reason(gateway, port), "connect_idle");
  (await connectTo(gateway, port)).destroy();
});

async function ready(
  t: TestContext,
  options: Partial<StartGatewayOptions> = {},
): Promise<{
  authority: TestAuthority;
  gateway: TestGateway;
  server: TlsOptions;
  certificate: ReturnType<typeof edgeCertificate>;
}> {
  const authority = await makeAuthority();
  const gateway = await testGateway(t, options);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const certificate = edgeCertificate(await authority.issue({ subject: "CN=client" }));
  await gateway.handle.setCertificate(certificate);
  await gateway.bind();
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = { key, cert: chain, ca: authority.pem, requestCert: true };
  return { authority, gateway, server, certificate };
}

/** PostgreSQL before a session: it answers a startup message, within TLS. */
function postgres(
  tls: TlsOptions,
  closesFor: "a handshake" | "no ALPN" | "the certificate",
  begun: string[] = [],
): Server {
  return createTcpServer((socket) => {
    socket.on("error", () => {});
    const secure = (): void => {
      const secured = new TLSSocket(socket, { ...tls, isServer: true });
      secured.on("error", () => {});
      if (closesFor === "the certificate") secured.once("secure", () => secured.end());
      if (begun.at(-1) === "handshake") secured.once("secure", () => secured.end());
      secured.on("data", (data: Buffer) => secured.write(`R ${data.toString("hex")}`));
    };
    socket.once("readable", () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      begun.push(first[0] === 0x16 ? "handshake" : "request");
      if (first[0] !== 0x16) {
        socket.write("S");
        secure();
      } else if (closesFor === "no ALPN") {
        socket.unshift(first);
        secure();
      } else socket.resetAndDestroy();
    });
  });
}

/**
 * MySQL before a session: it sends a greeting, requires TLS, asks for more, lets the client in, and answers one query.
 */
function mysql(tls: TlsOptions): Server {
  return createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.write(greeting(0x0800));
    socket.once("readable", () => {
      const first = socket.read(36) as Buffer | null;
      if (first === null || first[3] !== 1 || (first.readUInt16LE(4) & 0x0800) === 0) {
        socket.destroy();
        return;
      }
      const secured = new TLSSocket(socket, { ...tls, isServer: true });
      secured.on("error", () => {});
      const answers = [
        packet(3, Buffer.from("\u0001more")),
        packet(5, Buffer.from([0, 0, 0])),
        packet(1, Buffer.from("rows")),
      ];
      const expected = [2, 4, 0];
      secured.on("data", (data: Buffer) => {
        if (data[3] === expected.shift()) secured.write(answers.shift()!);
        else secured.destroy();
      });
    });
  });
}

function greeting(capabilities: number): Buffer {
  const head = Buffer.concat([Buffer.from("\n8.0.0-test\0"), Buffer.alloc(13)]);
  const lower = Buffer.alloc(2);
  lower.writeUInt16LE(capabilities | 0x0200);
  return packet(0, Buffer.concat([head, lower, Buffer.alloc(20)]));
}

function clientAnswer(user: string): Buffer {
  const head = Buffer.alloc(32);
  head.writeUInt32LE(0x0200);
  return Buffer.concat([head, Buffer.from(`${user}\0\0`)]);
}

function packet(sequence: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(payload.length, 0, 3);
  head[3] = sequence;
  return Buffer.concat([head, payload]);
}

async function listen(t: TestContext, server: Server, port = 0): Promise<number> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => open.add(socket));
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

function tunnel(gateway: TestGateway, port: number): ReturnType<typeof httpRequest> {
  const request = httpRequest({
    socketPath: gateway.socket(),
    method: "CONNECT",
    path: `localhost:${port}`,
    agent: false,
  });
  request.end();
  return request;
}

async function refused(gateway: TestGateway, port: number): Promise<IncomingMessage> {
  const [response, socket] = (await once(tunnel(gateway, port), "connect")) as [
    IncomingMessage,
    Socket,
  ];
  socket.destroy();
  return response;
}

async function connectTo(gateway: TestGateway, port: number): Promise<Socket> {
  const [response, socket, head] = (await once(tunnel(gateway, port), "connect")) as [
    IncomingMessage,
    Socket,
    Buffer,
  ];
  assert.equal(response.headers["countersign-failure"], undefined);
  if (head.length > 0) socket.unshift(head);
  socket.allowHalfOpen = true;
  return socket;
}

/** Asks why a connection failed, as a Worker does. */
async function reason(gateway: TestGateway, port: number): Promise<string> {
  const url = `http://connect.countersign.invalid/localhost:${port}`;
  const answer = await ask(gateway.socket(), url);
  return String(answer.headers["countersign-failure"] ?? answer.status);
}

async function bytes(socket: Socket): Promise<Buffer> {
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) return chunk as Buffer;
  throw new Error("it ended");
}

async function some(socket: Socket): Promise<string> {
  return (await bytes(socket)).toString();
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) text += String(chunk);
  return text;
}
