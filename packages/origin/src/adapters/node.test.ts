import assert from "node:assert/strict";
import { createServer, request as send, Agent, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import test, { before } from "node:test";
import {
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../../../test/helpers/pki.ts";
import { workerSpiffeId } from "../identity.ts";
import { parsePolicy } from "../policy.ts";
import { RevokedSerials } from "../revocations.ts";
import { Trust } from "../trust.ts";
import { authorize, followTrust, secureServerOptions, type AuthorizeOptions } from "./node.ts";

let ca: TestAuthority;
let otherCa: TestAuthority;
let server: TestCertificate;

before(async () => {
  [ca, otherCa] = await Promise.all([makeAuthority("Acme"), makeAuthority("Acme")]);
  server = await ca.issue({ subject: "CN=localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
});

const seed = parsePolicy({
  allow: [
    { worker: ["a", "b"], account: "acme", methods: ["GET", "POST"] },
    { worker: "c", account: "acme", methods: ["GET"] },
  ],
});

function issue(
  worker: string,
  {
    by = ca,
    account = "acme",
    ...more
  }: { by?: TestAuthority; account?: string; notBefore?: Date; notAfter?: Date } = {},
): Promise<TestCertificate> {
  const uri = workerSpiffeId({ trustDomain: "example.org", account, worker, environment: null });
  return by.issue({ subject: `O=${account},CN=${worker}`, uris: [uri], ...more });
}

interface Origin extends AsyncDisposable {
  readonly port: number;
  readonly trust: Trust;
  readonly reached: string[];
  readonly logged: string[];
  readonly tls: Server;
}

async function origin(options: AuthorizeOptions = {}): Promise<Origin> {
  const trust = new Trust({ authorities: [ca.pem], policy: seed });
  const reached: string[] = [];
  const logged: string[] = [];
  const guard = authorize(trust, { trust, log: (message) => logged.push(message), ...options });
  const pair = { cert: server.chain, key: server.key };
  const tls = createServer(
    { ...pair, ...secureServerOptions(trust) },
    guard.handler((request, response) => {
      reached.push(`${request.caller?.worker} ${request.method}`);
      response.end(
        JSON.stringify({ ...request.caller, mayPost: request.caller?.may("POST", "/") }),
      );
    }),
  );
  const stop = followTrust(tls, trust, pair);
  tls.listen(0, "127.0.0.1");
  await once(tls, "listening");
  return {
    port: (tls.address() as AddressInfo).port,
    trust,
    reached,
    logged,
    tls,
    async [Symbol.asyncDispose]() {
      stop();
      tls.closeAllConnections();
      tls.close();
      await once(tls, "close");
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: { error?: { code: string; message: string }; worker?: string; mayPost?: boolean };
  /** The client's port: two requests with the same port came over one connection. */
  readonly from: number | undefined;
}

async function ask(
  { port }: Origin,
  certificate: TestCertificate | null,
  {
    method = "GET",
    agent = new Agent({ maxCachedSessions: 0 }),
    headers = {},
  }: { method?: string; agent?: Agent; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const request = send({
    host: "127.0.0.1",
    port,
    method,
    agent,
    headers,
    ca: ca.pem,
    ...(certificate !== null && { cert: certificate.chain, key: certificate.key }),
  });
  request.end();
  const [response] = (await once(request, "response")) as [import("node:http").IncomingMessage];
  const from = request.socket?.localPort;
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return {
    status: response.statusCode!,
    body: JSON.parse(text) as Answer["body"],
    from,
  };
}

test("A and B write, C only reads, and the handler knows who calls", async () => {
  await using to = await origin();
  const [a, c] = await Promise.all([issue("a"), issue("c")]);
  assert.equal((await ask(to, a, { method: "POST" })).status, 200);
  const read = await ask(to, c);
  assert.deepEqual([read.status, read.body.worker, read.body.mayPost], [200, "c", false]);
  const write = await ask(to, c, { method: "POST" });
  assert.equal(write.status, 403);
  assert.deepEqual(write.body.error, {
    code: "method_not_allowed",
    message: 'Worker "c" of account "acme" may GET, and no rule lets it POST',
  });
  assert.deepEqual(to.reached, ["a POST", "c GET"]);
});

test("each attacker is refused with a code of its own, and none reaches the handler", async () => {
  await using to = await origin();
  const yesterday = new Date(Date.now() - 86_400_000);
  const tomorrow = new Date(Date.now() + 86_400_000);
  const cases: [string, TestCertificate | null][] = [
    ["certificate_missing", null],
    ["certificate_authority_mismatch", await issue("a", { by: otherCa })],
    ["certificate_untrusted", await issue("a", { by: await makeAuthority("Another") })],
    ["certificate_expired", await issue("a", { notAfter: yesterday, notBefore: new Date(0) })],
    [
      "certificate_not_yet_valid",
      await issue("a", { notBefore: tomorrow, notAfter: new Date(Date.now() + 2 * 86_400_000) }),
    ],
    ["caller_not_named", await issue("a", { account: "other" })],
    ["caller_not_named", await ca.issue({ subject: "O=acme,CN=a" })],
  ];
  for (const [code, certificate] of cases) {
    const { body, status } = await ask(to, certificate, {
      headers: {
        "client-cert": `:${Buffer.from((await issue("a")).x509.rawData).toString("base64")}:`,
      },
    });
    assert.equal(body.error?.code, code);
    assert.equal(status, code.startsWith("certificate") ? 401 : 403);
  }
  assert.deepEqual(to.reached, []);
});

test("a revocation counts at the next request on a connection that is open, and others notice nothing", async () => {
  await using to = await origin();
  const [a, b] = await Promise.all([issue("a"), issue("b")]);
  using agentA = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  using agentB = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  const [firstA, firstB] = [await ask(to, a, agentA), await ask(to, b, agentB)];
  assert.deepEqual([firstA.status, firstB.status], [200, 200]);
  const revoked = new RevokedSerials();
  revoked.add(a.x509.serialNumber);
  to.trust.replace({ revoked });
  const refused = await ask(to, a, { agent: agentA.agent });
  assert.deepEqual([refused.body.error?.code, refused.from], ["certificate_revoked", firstA.from]);
  const other = await ask(to, b, { agent: agentB.agent });
  assert.deepEqual([other.status, other.from], [200, firstB.from]);
});

test("a session that is resumed after its certificate was revoked is refused with a code of its own", async () => {
  await using to = await origin();
  const a = await issue("a");
  using own = disposable(new Agent({ keepAlive: false, maxCachedSessions: 10 }));
  assert.equal((await ask(to, a, own)).status, 200);
  const revoked = new RevokedSerials();
  revoked.add(a.x509.serialNumber);
  to.trust.replace({ revoked });
  assert.equal((await ask(to, a, own)).body.error?.code, "session_revoked");
  using fresh = disposable(new Agent({ keepAlive: false }));
  assert.equal((await ask(to, a, fresh)).body.error?.code, "certificate_revoked");
});

test("a policy that changes counts at the next request on a connection that is open", async () => {
  await using to = await origin();
  const a = await issue("a");
  using kept = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  const first = await ask(to, a, { ...kept, method: "POST" });
  assert.equal(first.status, 200);
  to.trust.replace({ policy: parsePolicy({ allow: [{ worker: "a", methods: "GET" }] }) });
  const write = await ask(to, a, { ...kept, method: "POST" });
  assert.deepEqual([write.body.error?.code, write.from], ["method_not_allowed", first.from]);
  to.trust.replace({ policy: null });
  assert.equal((await ask(to, a)).body.error?.code, "policy_missing");
});

test("a CA that is taken away lets in no open connection and no resumed session", async () => {
  await using to = await origin();
  const a = await issue("a");
  using kept = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  using resuming = disposable(new Agent({ maxCachedSessions: 10 }));
  assert.equal((await ask(to, a, kept)).status, 200);
  assert.equal((await ask(to, a, resuming)).status, 200);
  to.trust.replace({ authorities: [otherCa.pem] });
  for (const { agent } of [kept, resuming, disposable(new Agent())]) {
    const { body } = await ask(to, a, { agent });
    assert.match(body.error?.code ?? "", /^certificate_(?:untrusted|authority_mismatch)$/);
  }
  const fromOther = await issue("a", { by: otherCa });
  assert.equal((await ask(to, fromOther)).status, 200);
});

test("connections that lead to a CA which stays are not touched when another is taken away", async () => {
  await using to = await origin();
  to.trust.replace({ authorities: [ca.pem, otherCa.pem] });
  const between = await otherCa.intermediate("Between");
  const b = await issue("b", { by: between });
  using kept = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  const first = await ask(to, b, kept);
  assert.equal(first.status, 200);
  to.trust.replace({ authorities: [otherCa.pem] });
  const again = await ask(to, b, kept);
  assert.deepEqual([again.status, again.from], [200, first.from]);
});

test("a proxy's header counts from a listed proxy, and from nobody else", async () => {
  const a = await issue("a");
  const proxyCertificate = await ca.issue({ subject: "CN=proxy" });
  const headers = { "client-cert": `:${Buffer.from(a.x509.rawData).toString("base64")}:` };
  await using byCertificate = await origin({
    proxy: { format: "client-cert", callers: [{ subject: ["CN=proxy"] }] },
  });
  assert.equal((await ask(byCertificate, proxyCertificate, { headers })).body.worker, "a");
  assert.equal(
    (await ask(byCertificate, proxyCertificate)).body.error?.code,
    "certificate_missing",
  );
  assert.equal((await ask(byCertificate, await issue("c"), { headers })).body.worker, "c");
  await using byAddress = await origin({
    proxy: { format: "client-cert", addresses: ["127.0.0.0/8"] },
  });
  assert.equal((await ask(byAddress, null, { headers })).body.worker, "a");
  await using elsewhere = await origin({
    proxy: { format: "client-cert", addresses: ["10.0.0.0/8"] },
  });
  assert.equal((await ask(elsewhere, null, { headers })).body.error?.code, "certificate_missing");
  assert.throws(() => authorize(seed, { proxy: { format: "xfcc" } }), /name the proxies/);
  assert.throws(
    () => authorize(seed, { proxy: { format: "xfcc", addresses: ["10.0.0.0/33"] } }),
    /no CIDR range/,
  );
});

test("a refusal is logged once a caller; dryRun lets through and reports", async () => {
  const decisions: string[] = [];
  await using to = await origin({ dryRun: true, onDecision: ({ code }) => decisions.push(code) });
  const c = await issue("c");
  for (let i = 0; i < 3; i++) assert.equal((await ask(to, c, { method: "POST" })).status, 200);
  assert.equal((await ask(to, null)).status, 200);
  assert.deepEqual(decisions, [
    "method_not_allowed",
    "method_not_allowed",
    "method_not_allowed",
    "certificate_missing",
  ]);
  assert.deepEqual(
    to.logged.map((line) => line.split(":")[0]),
    ['would refuse Worker "c" of account "acme"', "would refuse an unknown caller"],
  );
});

function disposable(agent: Agent): { readonly agent: Agent } & Disposable {
  return { agent, [Symbol.dispose]: () => agent.destroy() };
}
