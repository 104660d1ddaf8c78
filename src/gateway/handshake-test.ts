import type { HandshakeReport, ReportedCertificate } from "../contract/handshake-report.ts";
import { X509Certificate } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { Failure } from "../failures/failures.ts";
import { acceptedAuthorities } from "./accepted.ts";
import type { Credential } from "../certificates/credential.ts";
import { exchangeFailure, presentedOf } from "./origin/classify.ts";
import type { DatabaseConfig, DatabaseProtocol } from "../contract/database.ts";
import type { Opening, Secured } from "./database/protocol.ts";
import { PROTOCOLS } from "./database/socket.ts";
import type { ParsedTarget } from "./origin/destination.ts";
import { showCertificate } from "../certificates/shown.ts";
import { derivedAtOnce, destroyedBy, dial, type Network } from "./origin/dial.ts";
import { handshake } from "./origin/handshake.ts";
import type { SecureContexts, TrustBundle } from "./origin/trust.ts";

export interface HandshakeTest {
  /** Null: nothing is presented. */
  readonly credential: Credential | null;
  readonly trust: TrustBundle;
  readonly target: ParsedTarget;
  readonly network: Network;
  readonly contexts: SecureContexts;
  /** A database that is signed in to as well. */
  readonly database?: TestedDatabase;
}

export interface TestedDatabase {
  readonly config: DatabaseConfig;
  readonly password: () => string;
}

/** Never throws: what goes wrong is the verdict. */
export async function testHandshake(test: HandshakeTest): Promise<HandshakeReport> {
  const { credential, target, network, database } = test;
  const { signal } = network;
  const { destination, origin } = target;
  const report: Mutable<HandshakeReport> = {
    origin,
    certificateId: credential?.certificateId ?? null,
    version: credential?.version ?? null,
    presented: [],
    address: null,
    connectMs: null,
    asksTls: null,
    tls: null,
    originChain: [],
    acceptedAuthorities: null,
    signIn: null,
    verdict: { ok: true, message: "" },
  };
  const presented = (): void => {
    const chain = credential === null ? [] : splitChain(credential.chain);
    report.presented = chain.map((pem) => describe(new X509Certificate(pem)));
  };
  try {
    const { tls, signIn } = await secured(test, report);
    const { asked } = report.tls!;
    if (asked) presented();
    report.originChain = peerChain(tls);
    if (database !== undefined) {
      const { user, database: name } = database.config;
      const startedAt = performance.now();
      await withinTime(tls, network.timeouts.handshake, signIn);
      tls.destroy();
      report.signIn = { user, database: name, ms: performance.now() - startedAt };
    } else {
      const error = await firstRead(tls, signal);
      if (error !== null) throw refusal(test, error, { tls: report.tls!, answered: false });
    }
    report.verdict = { ok: true, message: verdictMessage(report) };
  } catch (error) {
    report.verdict = verdictOf(error);
    if (error instanceof Failure && error.facts["askedForCertificate"] === true) presented();
  }
  if (report.address !== null && signal?.aborted !== true) {
    const { address } = report;
    const accepted = acceptedAuthorities(address, destination, signal, target.protocol);
    report.acceptedAuthorities = await accepted;
  }
  return report;
}

function verdictMessage({ tls, signIn }: HandshakeReport): string {
  const rest = tls?.asked
    ? ", asked for the certificate and did not refuse it"
    : "; it asked for no certificate";
  if (signIn === null) return `the origin was verified${rest}`;
  return `the database was verified${rest}; "${signIn.user}" signed in to "${signIn.database}"`;
}

/** A verified connection, each step of it in the report. @throws Failure */
async function secured(
  test: HandshakeTest,
  report: Mutable<HandshakeReport>,
): Promise<Pick<Secured, "tls" | "signIn">> {
  const { credential, trust, target, network, database } = test;
  const { destination, protocol } = target;
  let connectedAt = 0;
  const opening: Opening = {
    config: database?.config ?? { ...destination, database: "", user: "" },
    password: database?.password ?? (() => ""),
    timeout: network.timeouts.handshake,
    derive: network.derive ?? derivedAtOnce,
    dial: async () => {
      const startedAt = performance.now();
      const socket = await dial(destination, network);
      connectedAt = performance.now();
      report.address = socket.remoteAddress ?? null;
      report.connectMs = connectedAt - startedAt;
      return socket;
    },
    handshake: async (socket) => {
      const startedAt = performance.now();
      if (protocol !== null) {
        report.asksTls = { request: REQUESTS[protocol], ms: startedAt - connectedAt };
      }
      const tls = await handshake(socket, {
        signal: network.signal,
        destination,
        context: test.contexts.get(credential, trust, destination.host),
        spiffe: trust.spiffe,
        presented: presentedOf(credential),
        protocols: protocol === null ? ["http/1.1", "h2"] : [],
        ...(database && { verifyName: database.config.verifyName }),
        timeout: network.timeouts.handshake,
      });
      report.tls = {
        version: tls.getProtocol() ?? "unknown",
        cipher: tls.getCipher().standardName,
        keyExchange: keyExchange(tls),
        protocol: tls.alpnProtocol || null,
        handshakeMs: performance.now() - startedAt,
        asked: tls.getSharedSigalgs().length > 0,
      };
      return tls;
    },
    failed: (error, tls) => refusal(test, error, { tls: report.tls!, answered: tls.bytesRead > 0 }),
  };
  if (protocol !== null) return await PROTOCOLS[protocol].secure(opening);
  return { tls: await opening.handshake(await opening.dial()), signIn: async () => {} };
}

const REQUESTS: Readonly<Record<DatabaseProtocol, string>> = {
  postgres: "SSLRequest",
  mysql: "SSL request after the greeting",
};

function refusal(
  { credential, target }: HandshakeTest,
  error: Error,
  { tls, answered }: { tls: NonNullable<HandshakeReport["tls"]>; answered: boolean },
): Failure {
  if (error instanceof Failure) return error;
  return exchangeFailure(error, target.destination, {
    presented: presentedOf(credential),
    asked: credential !== null && tls.asked,
    answered,
    tlsVersion: tls.version,
  });
}

/** @throws Failure `database_sign_in_timeout` */
async function withinTime(tls: TLSSocket, ms: number, signIn: () => Promise<void>): Promise<void> {
  const message = `nobody was signed in within ${ms} ms`;
  const timer = setTimeout(() => {
    tls.destroy(new Failure("database_sign_in_timeout", { message }));
  }, ms);
  try {
    await signIn();
  } finally {
    clearTimeout(timer);
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Certificates of an origin that are reported. */
const LONGEST_CHAIN = 20;

/** In ms: how long an origin has to refuse a certificate after the handshake, as on TLS 1.3. */
const PATIENCE = 500;

/** Resolves with what the origin ends the connection with, or null if it lets it stand. */
async function firstRead(tls: TLSSocket, signal?: AbortSignal): Promise<Error | null> {
  const callOff = destroyedBy(signal, tls);
  const ended = new Promise<Error>((fulfil) => {
    tls.once("error", fulfil);
    tls.once("end", () => fulfil(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
    tls.resume();
  });
  const result = await Promise.race([ended, wait(PATIENCE, null, { ref: false })]);
  callOff();
  tls.destroy();
  return result;
}

function verdictOf(error: unknown): HandshakeReport["verdict"] {
  const failure =
    error instanceof Failure
      ? error
      : new Failure("origin_failed", { message: String(error), cause: error });
  const { code, message, entry } = failure;
  return { ok: false, code, message, cause: entry.cause, fix: withoutItself(failure.fix) };
}

/** Advice to run this test would be useless in its own report. */
export function withoutItself(fix: string): string {
  return fix
    .replace("Run `countersign certificate test` for each step, and look", "Look")
    .replace("; `countersign certificate test` lists them", ", as listed here");
}

function keyExchange(tls: TLSSocket): string | null {
  const info = tls.getEphemeralKeyInfo();
  return info !== null && "name" in info && typeof info.name === "string" ? info.name : null;
}

function peerChain(tls: TLSSocket): ReportedCertificate[] {
  const chain: ReportedCertificate[] = [];
  let certificate = tls.getPeerX509Certificate();
  while (certificate !== undefined) {
    chain.push(describe(certificate));
    if (chain.length === LONGEST_CHAIN) break;
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

function describe(certificate: X509Certificate): ReportedCertificate {
  const { serialNumber: _, ...shown } = showCertificate(certificate);
  return shown;
}

function splitChain(chain: string): string[] {
  return chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
