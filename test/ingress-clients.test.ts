import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import * as x509 from "../src/certificates/x509.ts";
import { proxyHeaderNames } from "../packages/origin/src/headers/proxy.ts";
import type { Host, HostClients } from "../src/contract/hosts.ts";
import { http2Session } from "./helpers/http2-session.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { makeVersion } from "./helpers/source.ts";

const WORKER = `export default { fetch: (request) =>
  Response.json({ ...request.cf, headers: Object.fromEntries(request.headers) }) };`;
const HOSTS = ["required.example", "optional.example", "other.example", "open.example"];
const DAY = 86_400_000;

let edge: TestEdge;
let servers: TestAuthority;
let authority: TestAuthority;
let other: TestAuthority;
let good: TestCertificate;
let port = 0;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "ingress-clients-"));
  servers = await makeAuthority("Servers");
  authority = await makeAuthority("Clients");
  other = await makeAuthority("Others");
  good = await authority.issue({ subject: "CN=good,O=Acme", uris: ["spiffe://acme/good"] });
  const { chain, key } = await servers.issue({ subject: "CN=server", dns: HOSTS });
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { chain, key } },
  });
  port = Number(new URL(edge.edge.httpsUrl!).port);
  await edge.deploy(makeVersion("echo", WORKER), { hosts: HOSTS });
  await rules({});
});
after(async () => {
  await edge[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Sets the rules; in force on return. */
async function rules(changed: Partial<HostClients>): Promise<void> {
  const clients: HostClients = {
    mode: "required",
    authorities: [authority.pem],
    revoked: [],
    forward: false,
    ...changed,
  };
  const host = (name: string, rest: Partial<HostClients>): Host => ({
    host: name,
    certificate: null,
    clients: { ...clients, ...rest },
  });
  await edge.edge.applied(
    edge.source.setHosts([
      host("required.example", {}),
      host("optional.example", { mode: "optional" }),
      host("other.example", { authorities: [other.pem] }),
    ]),
  );
}

interface Asked {
  readonly with?: Pick<TestCertificate, "chain" | "key"> | null;
  readonly serverName?: string;
  readonly agent?: Agent | false;
  readonly headers?: Record<string, string>;
}

interface Answer {
  readonly status: number;
  readonly code: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly cf: any;
}

function answerOf(status: number, text: string): Answer {
  const isTold = status === 200;
  const code = /[a-z]+(?:_[a-z]+)+/.exec(text)?.[0] ?? "";
  return { status, code: isTold ? "" : code, cf: isTold ? JSON.parse(text) : null };
}

function ask(host: string, asked: Asked = {}): Promise<Answer> {
  const { with: pair = null, serverName = host, agent = false, headers = {} } = asked;
  return new Promise((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        servername: serverName,
        ca: servers.pem,
        checkServerIdentity: () => undefined,
        agent,
        headers: { host: `${host}:${port}`, ...headers },
        ...(pair !== null && { cert: pair.chain, key: pair.key }),
      },
      (response) => {
        textOf(response).then((text) => resolve(answerOf(response.statusCode!, text)), reject);
      },
    )
      .on("error", reject)
      .end();
  });
}

function session(host: string, pair: TestCertificate): ClientHttp2Session {
  return http2Session(host, { port, ca: servers.pem, pair });
}

async function on(client: ClientHttp2Session, host: string): Promise<Answer> {
  const stream = client.request({ ":authority": `${host}:${port}`, ":path": "/" });
  const [response] = (await once(stream, "response")) as [Record<string, unknown>];
  return answerOf(Number(response[":status"]), await textOf(stream));
}

test("a client with a certificate of the host's CA is let in, and its Worker gets the certificate's facts", async () => {
  await rules({});
  const { status, cf } = await ask("required.example", { with: good });
  assert.equal(status, 200);
  const { tlsClientAuth: tls } = cf;
  assert.deepEqual([tls.certPresented, tls.certVerified, tls.certRevoked], ["1", "SUCCESS", "0"]);
  assert.equal(tls.certSubjectDNLegacy, "/CN=good/O=Acme");
  assert.equal(tls.certIssuerDN, "CN=Clients");
  assert.equal(tls.certIssuerSerial, authority.certificate.serialNumber.toUpperCase());
  assert.deepEqual(tls.certSANURIs, ["spiffe://acme/good"]);
});

test("without a certificate a required host answers 403, over plain HTTP too, and an optional one tells its Worker", async () => {
  const refused = await ask("required.example");
  assert.deepEqual([refused.status, refused.code], [403, "client_certificate_missing"]);
  const plain = await edge.fetch("required.example");
  assert.equal(plain.status, 403);
  assert.match(plain.text, /client_certificate_missing/);
  const { cf } = await ask("optional.example");
  assert.deepEqual([cf.tlsClientAuth.certPresented, cf.tlsClientAuth.certVerified], ["0", "NONE"]);
});

test("a host without rules does not ask for a certificate", async () => {
  const { cf } = await ask("open.example", { with: good });
  assert.equal(cf.tlsClientAuth.certPresented, "0");
});

type Made = Pick<TestCertificate, "chain" | "key">;

const refusals: Record<string, [make: () => Promise<Made>, code: string, verdict: string]> = {
  "of another CA": [
    () => other.issue({ subject: "CN=x" }),
    "untrusted",
    "FAILED:unable to verify the first certificate",
  ],
  "forged in the name of the CA": [
    async () => (await makeAuthority("Clients")).issue({ subject: "CN=good,O=Acme" }),
    "untrusted",
    "FAILED:unable to verify the first certificate",
  ],
  "that has expired": [
    () => authority.issue({ subject: "CN=x", notAfter: new Date(Date.now() - 60_000) }),
    "expired",
    "FAILED:certificate has expired",
  ],
  "that is not valid yet": [
    () =>
      authority.issue({
        subject: "CN=x",
        notBefore: new Date(Date.now() + DAY),
        notAfter: new Date(Date.now() + 2 * DAY),
      }),
    "expired",
    "FAILED:certificate is not yet valid",
  ],
  "for servers only": [
    () => authority.issue({ subject: "CN=x", usages: ["serverAuth"] }),
    "untrusted",
    "FAILED",
  ],
  "whose intermediate is missing": [
    async () => {
      const leaf = await (await authority.intermediate("CN=between")).issue({ subject: "CN=x" });
      return { chain: leaf.pem, key: leaf.key };
    },
    "untrusted",
    "FAILED:unable to verify the first certificate",
  ],
  "that signed itself": [
    async () => {
      const [chain, key] = await openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=self -addext basicConstraints=CA:FALSE",
      );
      return { chain, key };
    },
    "untrusted",
    "FAILED:self signed certificate",
  ],
};

async function openssl(args: string): Promise<[out: string, key: string]> {
  const { readFile } = await import("node:fs/promises");
  await promisify(execFile)("openssl", [...args.split(" "), "-keyout", "k.pem", "-out", "c.pem"], {
    cwd: folder,
  });
  const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  return [await read("c.pem"), await read("k.pem")];
}

for (const [kind, [make, code, verdict]] of Object.entries(refusals)) {
  test(`a certificate ${kind} is refused with a reason, and an optional host is told`, async () => {
    const pair = await make();
    const { status, code: shown } = await ask("required.example", { with: pair });
    assert.deepEqual([status, shown], [403, `client_certificate_${code}`]);
    const { cf } = await ask("optional.example", { with: pair });
    assert.deepEqual(
      [cf.tlsClientAuth.certPresented, cf.tlsClientAuth.certVerified],
      ["1", verdict],
    );
  });
}

const accepted: Record<string, () => Promise<Made>> = {
  "of an intermediate": async () =>
    (await authority.intermediate("CN=between")).issue({ subject: "CN=x" }),
  "of an intermediate whose chain is in the wrong order": async () => {
    const lower = await (await authority.intermediate("CN=a")).intermediate("CN=b");
    const leaf = await lower.issue({ subject: "CN=x" });
    const [first, ...rest] = leaf.chain.match(/-----BEGIN[^]*?-----END[^-]*-----\n?/g)!;
    return { chain: [first, ...rest.toReversed()].join(""), key: leaf.key };
  },
  "below 20 intermediates": async () => {
    let lowest = authority;
    for (let i = 0; i < 20; i++) lowest = await lowest.intermediate(`CN=i${i}`);
    return lowest.issue({ subject: "CN=x" });
  },
  "without a subject": () => authority.issue({ subject: "", uris: ["spiffe://acme/x"] }),
  "of version 1": async () => {
    const [csr, key] = await openssl(
      "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=old",
    );
    await writeFile(join(folder, "r.pem"), csr);
    await writeFile(join(folder, "ca.pem"), authority.pem);
    await writeFile(join(folder, "ca.key"), authority.keyPem);
    const args = "x509 -req -in r.pem -CA ca.pem -CAkey ca.key -set_serial 7 -days 9";
    const { stdout } = await promisify(execFile)("openssl", args.split(" "), { cwd: folder });
    return { chain: stdout, key };
  },
};

for (const [kind, make] of Object.entries(accepted)) {
  test(`a certificate ${kind} comes in`, async () => {
    const { status, code, cf } = await ask("required.example", { with: await make() });
    assert.deepEqual([status, code], [200, ""]);
    assert.equal(cf.tlsClientAuth.certVerified, "SUCCESS");
  });
}

test("one host's CA opens no other host, and a handshake for one is none for another", async () => {
  const refused = await ask("other.example", { with: good });
  assert.deepEqual([refused.status, refused.code], [403, "client_certificate_untrusted"]);
  for (const host of ["other.example", "open.example"]) {
    const { status } = await ask(host, { with: good, serverName: "required.example" });
    assert.equal(status, 421, host);
  }
  const from = await ask("required.example", { with: good, serverName: "open.example" });
  assert.equal(from.status, 421);
  const nameless = await ask("required.example", { with: good, serverName: "" });
  assert.equal(nameless.status, 421);
});

function revokedAs(one: TestCertificate, issuer?: string): string {
  const serial = one.x509.serialNumber.toUpperCase();
  return issuer === undefined ? serial : `${serial} ${issuer}`;
}

test("a revoked certificate is refused at the next request of an open connection, HTTP/1.1 and HTTP/2", async () => {
  await rules({});
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const client = session("required.example", good);
  assert.equal((await ask("required.example", { with: good, agent })).status, 200);
  assert.equal((await on(client, "required.example")).status, 200);
  await rules({ revoked: [revokedAs(good)] });
  const code = "client_certificate_revoked";
  const first = await ask("required.example", { with: good, agent });
  assert.deepEqual([first.status, first.code], [403, code]);
  const second = await on(client, "required.example");
  assert.deepEqual([second.status, second.code], [403, code]);
  const told = await ask("optional.example", { with: good });
  assert.deepEqual(
    [told.cf.tlsClientAuth.certVerified, told.cf.tlsClientAuth.certRevoked],
    ["SUCCESS", "1"],
  );
  await rules({});
  assert.equal((await on(client, "required.example")).status, 200);
  client.close();
  agent.destroy();
});

test("a revocation names a number alone, a number of an issuer, or a fingerprint", async () => {
  const fingerprint = Buffer.from(await good.x509.getThumbprint("SHA-256")).toString("hex");
  for (const revoked of [revokedAs(good), revokedAs(good, "CN=Clients"), fingerprint]) {
    await rules({ revoked: [revoked] });
    assert.equal((await ask("required.example", { with: good })).status, 403, revoked);
  }
  await rules({ revoked: [revokedAs(good, "CN=Others"), "AB"] });
  assert.equal((await ask("required.example", { with: good })).status, 200);
  await rules({});
});

/** One request on a new connection; returns the session of that connection too. */
async function oneRequest(
  pair: Made,
  resumed: Buffer | undefined,
  host = "required.example",
): Promise<{ status: number; isReused: boolean; session: Buffer }> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: host,
    ca: servers.pem,
    cert: pair.chain,
    key: pair.key,
    ...(resumed && { session: resumed }),
  });
  let ticket: Buffer = Buffer.alloc(0);
  socket.on("session", (fresh: Buffer) => (ticket = fresh));
  await once(socket, "secureConnect");
  const isReused = socket.isSessionReused();
  socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
  const text = await textOf(socket);
  return { status: Number(text.slice(9, 12)), isReused, session: ticket };
}

test("a revoked leaf and a revoked intermediate are refused on a resumed session too", async () => {
  await rules({});
  const between = await authority.intermediate("CN=between");
  const leaf = await between.issue({ subject: "CN=x" });
  const first = await oneRequest(leaf, undefined);
  assert.deepEqual([first.status, first.isReused], [200, false]);
  const second = await oneRequest(leaf, first.session);
  assert.deepEqual([second.status, second.isReused], [200, true]);
  const above = between.certificate.serialNumber.toUpperCase();
  for (const revoked of [revokedAs(leaf), above]) {
    await rules({ revoked: [revoked] });
    const third = await oneRequest(leaf, first.session);
    assert.deepEqual([third.status, third.isReused], [403, true], revoked);
  }
  await rules({});
});

test("a session of one host is not resumed at another", async () => {
  const first = await oneRequest(good, undefined);
  const second = await oneRequest(good, first.session, "optional.example");
  assert.deepEqual([second.status, second.isReused], [200, false]);
});

test("a CA that is taken away lets nobody in any more: open connections, resumed sessions, new ones", async () => {
  await rules({ authorities: [authority.pem, other.pem] });
  const kept = await other.issue({ subject: "CN=kept" });
  const [gone, stays] = [session("required.example", good), session("required.example", kept)];
  assert.equal((await on(gone, "required.example")).status, 200);
  assert.equal((await on(stays, "required.example")).status, 200);
  const earlier = await oneRequest(good, undefined);
  await rules({ authorities: [other.pem] });
  const refused = await on(gone, "required.example");
  assert.deepEqual([refused.status, refused.code], [421, "client_handshake_outdated"]);
  assert.equal((await on(stays, "required.example")).status, 200);
  const resumed = await oneRequest(good, earlier.session);
  assert.deepEqual([resumed.status, resumed.isReused], [403, false]);
  gone.close();
  stays.close();
  await rules({});
});

test("without any CA a required host lets nobody in", async () => {
  await rules({ authorities: [] });
  assert.equal((await ask("required.example", { with: good })).status, 403);
  await rules({});
});

test("rules that come after the handshake ask for another connection", async () => {
  await edge.edge.applied(edge.source.setHosts([]));
  const client = session("required.example", good);
  assert.equal((await on(client, "required.example")).status, 200);
  await rules({});
  assert.equal((await on(client, "required.example")).status, 421);
  client.close();
});

test("what a client calls its certificate in a header never reaches a Worker; what the handshake proved does, where it is asked for", async () => {
  await rules({ forward: true });
  const names = [...new Set(Object.values(proxyHeaderNames).flat())];
  const headers = Object.fromEntries(names.map((name) => [name, "forged"]));
  const open = await ask("open.example", { headers });
  for (const name of names) assert.equal(open.cf.headers[name], undefined, name);
  const told = await ask("required.example", { with: good, headers });
  const der = Buffer.from(new x509.X509Certificate(good.pem).rawData).toString("base64");
  assert.equal(told.cf.headers["client-cert"], `:${der}:`);
  assert.equal(told.cf.headers["client-cert-chain"], undefined);
  const bad = await other.issue({ subject: "CN=x" });
  const failed = await ask("optional.example", { with: bad, headers });
  assert.equal(failed.cf.headers["client-cert"], undefined);
  await rules({});
});

test("curl and openssl s_client come in with a certificate, and read the refusal without", async () => {
  await writeFile(join(folder, "c.pem"), good.chain);
  await writeFile(join(folder, "c.key"), good.key);
  await writeFile(join(folder, "servers.pem"), servers.pem);
  const curl = async (...args: string[]): Promise<string> => {
    const url = `https://required.example:${port}/`;
    const resolve = `required.example:${port}:127.0.0.1`;
    const all = ["-sS", "--cacert", "servers.pem", "--resolve", resolve, ...args, url];
    return (await promisify(execFile)("curl", all, { cwd: folder })).stdout;
  };
  assert.match(await curl("--cert", "c.pem", "--key", "c.key"), /"certVerified":"SUCCESS"/);
  assert.match(await curl(), /client_certificate_missing/);
  const args = `s_client -connect 127.0.0.1:${port} -servername required.example -quiet -no_ign_eof -CAfile servers.pem -cert c.pem -key c.key`;
  const child = promisify(execFile)("openssl", args.split(" "), { cwd: folder });
  child.child.stdin!.write("GET / HTTP/1.1\r\nhost: required.example\r\nconnection: close\r\n\r\n");
  assert.match((await child).stdout, /"certVerified":"SUCCESS"/);
});
