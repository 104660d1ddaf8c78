import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { Answers } from "./answers.ts";
import { Challenges } from "./challenges.ts";
import { Clients } from "./clients.ts";
import { Hosts } from "./tls/hosts.ts";
import { LocalLeaves } from "./tls/local-leaves.ts";
import { IngressObserver } from "./observe.ts";
import { SharedPort } from "../process/shared-port.ts";
import { Zones } from "./zones.ts";
import { type ConnectionTimes, SecureListener } from "./secure-listener.ts";

async function listen(times: ConnectionTimes) {
  const authority = await makeAuthority();
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const [hosts, clients] = [new Hosts(), new Clients()];
  const answers = new Answers({
    find: () => "host_unknown",
    hosts,
    zones: new Zones(),
    clients,
    challenges: new Challenges(),
    howEnded: async () => "runs",
    observer: new IngressObserver(() => {}),
  });
  const listener = new SecureListener({
    answers,
    hosts,
    zones: new Zones(),
    clients,
    challenges: new Challenges(),
    leaves: new LocalLeaves(
      () => Promise.resolve(null),
      () => false,
    ),
    byDefault: { key, chain },
    times,
  });
  const held = await SharedPort.open({ host: "127.0.0.1", port: 0 });
  const { port } = held;
  await listener.listen({ host: "127.0.0.1", port, socket: held.passed });
  return { port, ca: authority.pem, [Symbol.asyncDispose]: () => listener.drain() };
}

test("a handshake that does not come, or not on, ends with its time", async () => {
  await using listener = await listen({ handshake: 60, idle: 60_000 });
  for (const first of ["", "\x16\x03\x01\x02\x00\x01"]) {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    if (first !== "") socket.write(Buffer.from(first, "latin1"));
    const began = performance.now();
    await once(socket, "close");
    assert.ok(performance.now() - began >= 50, "not before");
  }
});

test("a head over TLS that does not come in time is answered 408, and the connection closed", async () => {
  const head = { head: 150, check: 20 };
  await using listener = await listen({ handshake: 10_000, idle: 60_000, head });
  const { port, ca } = listener;
  const socket = connectTls({ port, ca, host: "127.0.0.1", servername: "localhost" });
  socket.write("GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ");
  let said = "";
  socket.on("error", () => {}).on("data", (chunk) => (said += String(chunk)));
  await once(socket, "close");
  assert.match(said, /^HTTP\/1\.1 408 [^]*request_timeout/);
});

test("a stop closes a connection over TLS that is idle", { timeout: 20_000 }, async () => {
  const listener = await listen({ handshake: 10_000, idle: 60_000 });
  const { port, ca } = listener;
  const socket = connectTls({ port, ca, host: "127.0.0.1", servername: "localhost" });
  socket.on("error", () => {}).write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  const [head] = await once(socket, "data");
  assert.match(String(head), /\r\nkeep-alive: timeout=75\r\n/i);
  const closed = once(socket, "close");
  await listener[Symbol.asyncDispose]();
  await closed;
});

test("an HTTP/2 session without requests is closed, and one with requests is not", async () => {
  await using listener = await listen({ handshake: 10_000, idle: IDLE });
  for (let tries = 0; (await used(listener)) === "was idle"; tries += 1) {
    assert.ok(tries < 20, "this machine lets no session be in use");
  }
});

const IDLE = 200;

/** A session with requests for longer than a session may be idle, until it is closed without one. */
async function used(listener: Awaited<ReturnType<typeof listen>>): Promise<"was idle" | "went on"> {
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: listener.ca });
  session.on("error", () => {});
  let closed = false;
  session.once("close", () => (closed = true));
  const ask = async (): Promise<number> => {
    const stream = session.request({ ":path": "/" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    stream.resume();
    return Number(headers[":status"]);
  };
  let last = performance.now();
  const end = last + 2 * IDLE;
  while (performance.now() < end) {
    const answer = await ask().catch(() => null);
    // On a machine that was busy for so long, it had every right to be closed.
    const gap = performance.now() - last;
    last = performance.now();
    if (gap >= IDLE) {
      session.destroy();
      return "was idle";
    }
    assert.equal(answer, 404);
    await turn();
  }
  assert.equal(closed, false, "it was in use for longer than its time");
  await once(session, "close");
  return "went on";
}
