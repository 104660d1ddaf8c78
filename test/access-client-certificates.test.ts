import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import * as x509 from "../src/certificates/x509.ts";
import type { AccessRule } from "../src/contract/access.ts";
import type { Host } from "../src/contract/hosts.ts";
import { http2Session } from "./helpers/http2-session.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import {
  issuedBy,
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "./helpers/pki.ts";
import { makeVersion } from "./helpers/source.ts";

const WORKER = `export default { fetch: (request) => Response.json(request.cf.tlsClientAuth) };`;
const HOST = "access.example";
const SHIELDED = "shielded.example";
const OPEN = "open.example";

let edge: TestEdge;
let servers: TestAuthority;
let robots: TestAuthority;
let shield: TestAuthority;
let port = 0;

before(async () => {
  servers = await makeAuthority("Servers");
  robots = await makeAuthority("Robots");
  shield = await makeAuthority("Shield");
  const dns = [HOST, SHIELDED, OPEN];
  const { chain, key } = await servers.issue({ subject: "CN=server", dns });
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { chain, key } },
  });
  port = Number(new URL(edge.edge.httpsUrl!).port);
  await edge.deploy(makeVersion("echo", WORKER), { hosts: dns });
  await access([{ kind: "common_name", commonName: "robot" }]);
});
after(() => edge[Symbol.asyncDispose]());

/** Sets the policy; in force on return. */
async function access(include: readonly AccessRule[], authorities = [robots.pem]): Promise<void> {
  const policy = {
    id: "p",
    decision: "bypass" as const,
    include,
    require: [],
    exclude: [],
  };
  await edge.edge.applied(
    edge.source.setAccess({
      applications: [{ id: "a", aud: "aud", domains: [HOST, SHIELDED], policies: [policy] }],
      tokens: [],
      authorities: authorities.map((certificate, index) => ({
        id: `ca${index}`,
        certificate,
        hosts: [HOST, SHIELDED],
      })),
      keys: [],
    }),
  );
}

type Pair = Pick<TestCertificate, "chain" | "key">;

function session(host: string, pair: Pair | null): ClientHttp2Session {
  return http2Session(host, { port, ca: servers.pem, pair });
}

async function on(client: ClientHttp2Session, host: string): Promise<[number, string]> {
  const stream = client.request({ ":authority": `${host}:${port}`, ":path": "/" });
  const [response] = (await once(stream, "response")) as [Record<string, unknown>];
  return [Number(response[":status"]), await textOf(stream)];
}

async function ask(host: string, pair: Pair | null): Promise<[number, string]> {
  const client = session(host, pair);
  try {
    return await on(client, host);
  } finally {
    client.close();
  }
}

test("a host that only Access has a CA for asks for a certificate, lets in whom a rule names, and tells the Worker", async () => {
  const robot = await robots.issue({ subject: "CN=robot" });
  const [status, text] = await ask(HOST, robot);
  assert.equal(status, 200, text);
  const { certVerified, certSubjectDN } = JSON.parse(text) as Record<string, string>;
  assert.deepEqual([certVerified, certSubjectDN], ["SUCCESS", "CN=robot"]);
});

const refused: Record<string, () => Promise<Pair | null>> = {
  none: async () => null,
  "of another name": () => robots.issue({ subject: "CN=person" }),
  "of two names": () => robots.issue({ subject: "CN=robot,CN=robot" }),
  "of a CA of the same name": async () =>
    (await makeAuthority("Robots")).issue({ subject: "CN=robot" }),
  "that has ended": () =>
    robots.issue({ subject: "CN=robot", notAfter: new Date(Date.now() - 60_000) }),
  "for servers only": () => robots.issue({ subject: "CN=robot", usages: ["serverAuth"] }),
  "that a client's certificate has signed": async () => {
    const leaf = await robots.issue({ subject: "CN=leaf" });
    const signer = { certificate: leaf.x509, keys: leaf.keys! };
    return issuedBy(signer, "robot");
  },
  "with a critical extension that nobody knows": () =>
    robots.issue({
      subject: "CN=robot",
      extensions: [new x509.Extension("1.3.6.1.4.1.99999.1", true, new Uint8Array([5, 0]))],
    }),
};

for (const [kind, make] of Object.entries(refused)) {
  test(`Access is refused to a certificate ${kind}`, async () => {
    const [status, text] = await ask(HOST, await make());
    assert.equal(status, 403);
    assert.match(text, /access_denied/);
  });
}

test("a certificate below an intermediate is let in, on a resumed session too", async () => {
  const robot = await (await robots.intermediate("CN=i")).issue({ subject: "CN=robot" });
  let ticket: Buffer | undefined;
  for (const isReused of [false, true]) {
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      servername: HOST,
      ca: servers.pem,
      cert: robot.chain,
      key: robot.key,
      ...(ticket && { session: ticket }),
    });
    socket.on("session", (fresh: Buffer) => (ticket = fresh));
    await once(socket, "secureConnect");
    assert.equal(socket.isSessionReused(), isReused);
    socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
    assert.match(await textOf(socket), /^HTTP\/1.1 200 /);
  }
});

test("a CA that Access trusts no longer lets nobody in on a connection that is open", async () => {
  const robot = await robots.issue({ subject: "CN=robot" });
  const client = session(HOST, robot);
  assert.equal((await on(client, HOST))[0], 200);
  await access([{ kind: "certificate" }], [shield.pem]);
  const [status] = await on(client, HOST);
  assert.equal(status, 421);
  assert.equal((await ask(HOST, robot))[0], 403);
  client.close();
  await access([{ kind: "common_name", commonName: "robot" }]);
});

async function shielded(mode: "optional" | "required", revoked: string[] = []): Promise<void> {
  const host: Host = {
    host: SHIELDED,
    certificate: null,
    clients: { mode, authorities: [shield.pem], revoked, forward: false },
  };
  await edge.edge.applied(edge.source.setHosts([host]));
}

test("a CA of Access does not open the host's own rules, nor the host's own CA Access", async () => {
  await access([{ kind: "certificate" }]);
  const robot = await robots.issue({ subject: "CN=robot" });
  const guest = await shield.issue({ subject: "CN=robot" });
  await shielded("required");
  const [status, text] = await ask(SHIELDED, robot);
  assert.equal(status, 403);
  assert.match(text, /client_certificate_untrusted/);
  assert.match((await ask(SHIELDED, guest))[1], /access_denied/);
  await access([{ kind: "certificate" }], [robots.pem, shield.pem]);
  assert.equal((await ask(SHIELDED, guest))[0], 200);
  assert.equal((await ask(SHIELDED, robot))[0], 403);
});

test("a certificate that the host has revoked is refused by Access, whatever mode the host is in", async () => {
  await access([{ kind: "certificate" }], [robots.pem, shield.pem]);
  await shielded("optional");
  const robot = await robots.issue({ subject: "CN=robot" });
  const client = session(SHIELDED, robot);
  assert.equal((await on(client, SHIELDED))[0], 200);
  await shielded("optional", [robot.x509.serialNumber.toUpperCase()]);
  const [status, text] = await on(client, SHIELDED);
  assert.equal(status, 403);
  assert.match(text, /access_denied/);
  client.close();
});

test("what the account has revoked is refused where only Access has a CA, on an open connection", async () => {
  await access([{ kind: "certificate" }]);
  const robot = await robots.issue({ subject: "CN=robot" });
  const other = await robots.issue({ subject: "CN=other" });
  const client = session(HOST, robot);
  assert.equal((await on(client, HOST))[0], 200);
  const serial = robot.x509.serialNumber.toUpperCase();
  await edge.edge.applied(edge.source.setHosts([], [serial]));
  const [status, text] = await on(client, HOST);
  assert.equal(status, 403);
  assert.match(text, /access_denied/);
  assert.equal((await ask(HOST, other))[0], 200);
  await edge.edge.applied(edge.source.setHosts([]));
  assert.equal((await on(client, HOST))[0], 200);
  client.close();
});

test("hosts beside it are asked for nothing", async () => {
  const socket = connectTls({ host: "127.0.0.1", port, servername: OPEN, ca: servers.pem });
  await once(socket, "secureConnect");
  socket.write(`GET / HTTP/1.1\r\nhost: ${OPEN}\r\nconnection: close\r\n\r\n`);
  assert.match(await textOf(socket), /"certPresented":"0"/);
});
