import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { Answers } from "./answers.ts";
import { Challenges } from "./challenges.ts";
import { Clients } from "./clients.ts";
import { Hosts } from "./hosts.ts";
import { LocalLeaves } from "./local-leaves.ts";
import { IngressObserver } from "./observe.ts";
import { SecureListener } from "./secure-listener.ts";

async function listen(times: { handshake: number; idle: number }) {
  const authority = await makeAuthority();
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const [hosts, clients] = [new Hosts(), new Clients()];
  const answers = new Answers({
    find: () => "host_unknown",
    hosts,
    clients,
    challenges: new Challenges(),
    howEnded: async () => "runs",
    observer: new IngressObserver(() => {}),
  });
  const listener = new SecureListener({
    answers,
    hosts,
    clients,
    leaves: new LocalLeaves(
      () => Promise.resolve(null),
      () => false,
    ),
    byDefault: { key, chain },
    times,
  });
  const port = await listener.listen("127.0.0.1", 0);
  return { port, ca: authority.pem, [Symbol.asyncDispose]: () => listener.drain() };
}

test("a handshake that does not come, or not on, ends with its time", async () => {
  await using listener = await listen({ handshake: 150, idle: 60_000 });
  for (const first of ["", "\x16\x03\x01\x02\x00\x01"]) {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    if (first !== "") socket.write(Buffer.from(first, "latin1"));
    const began = performance.now();
    await once(socket, "close");
    assert.ok(performance.now() - began >= 100, "not before");
  }
});

test("a session of HTTP/2 on which nothing is said is closed, one with requests goes on", async () => {
  await using listener = await listen({ handshake: 10_000, idle: 300 });
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
  const end = performance.now() + 600;
  while (performance.now() < end) {
    assert.equal(await ask(), 404);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  assert.equal(closed, false, "it was in use for longer than its time");
  await once(session, "close");
});
