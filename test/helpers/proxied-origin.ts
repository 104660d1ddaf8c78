import assert from "node:assert/strict";
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { request as send, type Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { callerFacts, decide, parsePolicy, workerSpiffeId } from "countersign-origin";
import { countersign } from "./cli.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./pki.ts";
import { type ProxyToStart, startProxy } from "./proxies.ts";

export const ODD = `we'ird ,"é`;
/** One rule of each kind that a server can be asked to enforce. */
export const POLICY: { readonly allow: readonly object[] } = {
  allow: [
    { worker: ["a", "b"], methods: ["GET", "POST"] },
    { worker: "c", methods: "GET" },
    { worker: "d", paths: ["/orders/*", "/health", "/caf%C3%A9"] },
    { spiffeId: "spiffe://example.org/account/acme/worker/e-*", methods: "PUT" },
    { worker: ODD, methods: "GET", paths: "/*" },
  ],
};
export const WORKERS: readonly string[] = ["a", "c", "d", "e-1", "aa", "A", ODD];
/** Paths that can be read in one way, and others. */
export const TARGETS: readonly string[] = [
  "/",
  "/orders/7?x=/health",
  "/orders",
  "/health",
  "/health?",
  "/healthy",
  "/caf%c3%a9",
  "/orders/../secret",
  "/orders/%2e%2e/secret",
  "/orders//x",
  "/orders/%2f",
  "/orders/%ff",
];

/** A CA, all kinds of callers, and a service behind a server that runs a printed configuration. */
export interface ProxiedOrigin extends AsyncDisposable {
  readonly folder: string;
  readonly ca: TestAuthority;
  /** By the Worker's name; and `revoked`, `foreign`, `expired`, `early`, `other account`. */
  readonly callers: ReadonlyMap<string, TestCertificate>;
  /** The headers of the latest request to the service. */
  readonly lastHeaders: () => IncomingHttpHeaders;
  readonly ask: (port: number, who: TestCertificate | undefined, asked?: Asked) => Promise<Answer>;
  /** Arguments of `origin config`, after the server's name. */
  readonly flagsFor: (port: number) => string[];
  print(name: string, port: number, ...more: string[]): Promise<string>;
  /** Starts a server with its configuration, and waits until it lets the Worker `a` in. */
  begin(t: TestContext, started: Started): Promise<{ child: ChildProcess; home: string }>;
}

export interface Started extends ProxyToStart {
  readonly port: number;
}

export interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  readonly code: string | null;
}

export async function openProxiedOrigin(): Promise<ProxiedOrigin> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-config-"));
  const ca = await makeAuthority("Acme");
  const callers = await makeCallers(ca);
  const server = await ca.issue({
    subject: "CN=localhost",
    dns: ["localhost"],
    ips: ["127.0.0.1"],
  });
  writeFileSync(join(folder, "tls.crt"), server.chain + server.key);
  writeFileSync(join(folder, "tls.key"), server.key);
  writeFileSync(join(folder, "ca.pem"), ca.pem);
  writeFileSync(join(folder, "crl.pem"), await ca.revoke([callers.get("revoked")!]));
  writeFileSync(join(folder, "policy.json"), JSON.stringify(POLICY));
  let last: IncomingHttpHeaders = {};
  const service = createServer((request, response) => {
    last = request.headers;
    request.resume();
    response.end("let in");
  }).listen(0, "127.0.0.1");
  await once(service, "listening");
  const to = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const flagsFor = (port: number): string[] =>
    `--listen 127.0.0.1:${port} --cert tls.crt --key tls.key --trust ca.pem --crl crl.pem --account acme --policy policy.json --to ${to}`.split(
      " ",
    );
  const ask = (
    port: number,
    who: TestCertificate | undefined,
    asked: Asked = {},
  ): Promise<Answer> => askOnce({ port, ca: ca.pem, who, asked });
  return {
    folder,
    ca,
    callers,
    lastHeaders: () => last,
    ask,
    flagsFor,
    print: async (name, port, ...more) => {
      const args = ["origin", "config", name, ...flagsFor(port), ...more];
      const run = await countersign(args, { cwd: folder });
      assert.equal(run.status, 0, run.stderr);
      return run.stdout;
    },
    begin: (t, started) => begin(t, folder, started, () => ask(started.port, callers.get("a"))),
    [Symbol.asyncDispose]: async () => {
      service.closeAllConnections();
      service.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function makeCallers(ca: TestAuthority): Promise<ReadonlyMap<string, TestCertificate>> {
  const callers = new Map<string, TestCertificate>();
  for (const worker of [...WORKERS, "revoked"]) callers.set(worker, await issue(ca, worker));
  callers.set("foreign", await issue(await makeAuthority("Acme"), "a"));
  const notAfter = new Date(Date.now() - 60_000);
  callers.set("expired", await issue(ca, "a", { notAfter }));
  const later = new Date(Date.now() + 7_200_000);
  callers.set("early", await issue(ca, "a", { notAfter: later }));
  callers.set("other account", await issue(ca, "a", { account: "other" }));
  return callers;
}

interface IssueOptions {
  readonly account?: string;
  readonly notAfter?: Date;
}

function issue(
  by: TestAuthority,
  worker: string,
  { account = "acme", notAfter }: IssueOptions = {},
): Promise<TestCertificate> {
  const uri = workerSpiffeId({ trustDomain: "example.org", account, worker, environment: null });
  const name = worker.replaceAll(/[,"+\\<>;]/g, "\\$&");
  return by.issue({
    // In encoded order: the most general part first.
    subject: `O=${account},CN=${name}`,
    uris: [uri],
    ...(notAfter && { notAfter, notBefore: new Date(notAfter.getTime() - 3_600_000) }),
  });
}

interface Question {
  readonly port: number;
  readonly ca: string;
  readonly who: TestCertificate | undefined;
  readonly asked: Asked;
}

/** Status 0: refused in the handshake. */
function askOnce({ port, ca, who, asked }: Question): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, agent = false } = asked;
  return new Promise((resolve) => {
    send(
      {
        host: "127.0.0.1",
        servername: "localhost",
        ca,
        port,
        method,
        path,
        agent,
        headers: { host: "localhost", ...headers },
        ...(who && { cert: who.chain, key: who.key }),
      },
      (response) =>
        void text(response).then((body) =>
          resolve({
            status: response.statusCode!,
            code: body.startsWith("{")
              ? (JSON.parse(body) as { error: { code: string } }).error.code
              : null,
          }),
        ),
    )
      .on("error", (error: NodeJS.ErrnoException) =>
        resolve({ status: 0, code: error.code ?? error.message }),
      )
      .end();
  });
}

function begin(
  t: TestContext,
  folder: string,
  started: Started,
  ask: () => Promise<Answer>,
): Promise<{ readonly child: ChildProcess; readonly home: string }> {
  return startProxy(t, folder, started, async (said) => {
    const answer = await ask();
    assert.ok(
      answer.status === 200 || answer.status === 0,
      `${answer.status} ${answer.code}\n${said}`,
    );
    return answer.status === 200;
  });
}

/** The decision of the policy's own code. */
export function verdict(worker: string, method: string, path: string): Answer {
  const facts = callerFacts({
    subject: "",
    issuer: "",
    serialNumber: "",
    fingerprint: "",
    uris: [
      workerSpiffeId({ trustDomain: "example.org", account: "acme", worker, environment: null }),
    ],
    notBefore: null,
    notAfter: null,
  });
  const { allowed, code } = decide(parsePolicy(POLICY), facts, { method, path });
  if (allowed) return { status: 200, code: null };
  return { status: 403, code: code === "path_ambiguous" ? "path_not_allowed" : code };
}
