import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { HostClients } from "../../src/contract/hosts.ts";
import { startTestEdge, type TestEdge } from "../helpers/edge.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "../helpers/pki.ts";
import { makeVersion } from "../helpers/source.ts";

// Go's net/http with client certificates at the ingress. Building it for the first time takes a while.

const HOST = "go.example";
const WORKER = `export default { fetch: ({ cf }) => Response.json(cf) };`;
const { stdout: version } = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" });
const hasGo = /^go1\.(2[2-9]|[3-9]\d)/.test(version ?? "");

describe("a client in Go", { skip: hasGo ? false : "no Go 1.22" }, () => {
  let folder: string;
  let edge: TestEdge;
  let servers: TestAuthority;
  let authority: TestAuthority;
  let good: TestCertificate;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-go-"));
    await promisify(execFile)("go", ["build", "-o", join(folder, "client"), "."], {
      cwd: join(import.meta.dirname, "..", "helpers", "go-client"),
      env: { ...process.env, GOFLAGS: "-buildvcs=false" },
    });
    servers = await makeAuthority("Servers");
    authority = await makeAuthority("Clients");
    good = await authority.issue({ subject: "CN=good" });
    const { chain, key } = await servers.issue({ subject: "CN=server", dns: [HOST] });
    edge = await startTestEdge({
      https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { chain, key } },
    });
    await edge.deploy(makeVersion("echo", WORKER), { hosts: [HOST] });
    await rules({});
  });
  after(async () => {
    await edge?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
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
    await edge.edge.applied(edge.source.setHosts([{ host: HOST, certificate: null, clients }]));
  }

  type Pair = Pick<TestCertificate, "chain" | "key">;

  function start(pair: Pair | null, how: { keeps?: boolean; insists?: boolean } = {}): GoClient {
    const port = Number(new URL(edge.edge.httpsUrl!).port);
    const identity = pair && { cert: pair.chain, key: pair.key };
    return startClient(folder, { port, host: HOST, ca: servers.pem, ...identity, ...how });
  }

  test("speaks HTTP/2 over one connection, and a revocation refuses its next request there", async () => {
    await using client = start(good, { keeps: true });
    for (let i = 0; i < 2; i += 1) {
      const { status, proto, body } = await client.ask();
      assert.deepEqual([status, proto], [200, "HTTP/2.0"], body);
      const cf = JSON.parse(body);
      assert.equal(cf.httpProtocol, "HTTP/2");
      assert.deepEqual(
        [cf.tlsClientAuth.certVerified, cf.tlsClientAuth.certSubjectDN],
        ["SUCCESS", "CN=good"],
      );
    }
    await rules({ revoked: [good.x509.serialNumber.toUpperCase()] });
    const refused = await client.ask();
    assert.equal(refused.status, 403);
    assert.match(refused.body, /client_certificate_revoked/);
    await rules({});
  });

  test("resumes its session: the Worker gets its certificate, and a revoked one is refused", async () => {
    const between = await authority.intermediate("between");
    const leaf = await between.issue({ subject: "CN=resumes" });
    await using client = start(leaf);
    const first = await client.ask();
    assert.deepEqual([first.status, first.resumed], [200, false], first.body);
    const second = await client.ask();
    assert.deepEqual([second.status, second.resumed], [200, true], second.body);
    const { certVerified, certSubjectDN } = JSON.parse(second.body).tlsClientAuth;
    assert.deepEqual([certVerified, certSubjectDN], ["SUCCESS", "CN=resumes"]);
    await rules({ revoked: [between.certificate.serialNumber.toUpperCase()] });
    const third = await client.ask();
    assert.deepEqual([third.status, third.resumed], [403, true]);
    assert.match(third.body, /client_certificate_revoked/);
    await rules({});
  });

  test("sends no certificate of a CA that the host does not name, and reads that it sent none", async () => {
    const other = await makeAuthority("Others");
    await using client = start(await other.issue({ subject: "CN=x" }));
    const { status, body } = await client.ask();
    assert.equal(status, 403);
    assert.match(body, /client_certificate_missing/);
    assert.match(body, /of no CA that the host names/);
  });

  test("that sends a wrong one all the same reads that it is not accepted", async () => {
    const other = await makeAuthority("Others");
    await using client = start(await other.issue({ subject: "CN=x" }), { insists: true });
    const { status, body } = await client.ask();
    assert.equal(status, 403);
    assert.match(body, /client_certificate_untrusted/);
  });

  test("that leaves out an intermediate is refused, and let in with it", async () => {
    const leaf = await (await authority.intermediate("between")).issue({ subject: "CN=x" });
    await using without = start({ chain: leaf.pem, key: leaf.key }, { insists: true });
    const refused = await without.ask();
    assert.equal(refused.status, 403);
    assert.match(refused.body, /client_certificate_untrusted/);
    await using whole = start(leaf);
    const { status, body } = await whole.ask();
    assert.equal(status, 200, body);
  });

  test("without a certificate reads why it is refused", async () => {
    await using client = start(null);
    const { status, body } = await client.ask();
    assert.equal(status, 403);
    assert.match(body, /client_certificate_missing/);
  });
});

interface Answer {
  readonly status: number;
  readonly proto: string;
  readonly resumed: boolean;
  readonly body: string;
  readonly error: string;
}

interface GoClient extends AsyncDisposable {
  /** @throws Error if there is no answer */
  ask(): Promise<Answer>;
}

function startClient(folder: string, order: object): GoClient {
  const child = spawn(join(folder, "client"), { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${JSON.stringify(order)}\n`);
  return {
    ask: async () => {
      child.stdin.write("\n");
      const { value, done } = await lines.next();
      if (done === true) throw new Error("the client ended");
      const answer = JSON.parse(value) as Answer;
      if (answer.error !== "") throw new Error(answer.error);
      return answer;
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
