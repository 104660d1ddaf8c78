import type { HandshakeReport, ReportedCertificate } from "../contract/handshake-report.ts";
import { X509Certificate } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { Failure } from "../failures/failures.ts";
import { acceptedAuthorities } from "./accepted.ts";
import type { Credential } from "../certificates/credential.ts";
import { exchangeFailure } from "./classify.ts";
import type { ParsedOrigin } from "./destination.ts";
import { showCertificate } from "../certificates/shown.ts";
import { destroyedBy, dial, type Network } from "./dial.ts";
import { handshake } from "./handshake.ts";
import type { SecureContexts, TrustBundle } from "./trust.ts";

export interface HandshakeTest {
  readonly credential: Credential;
  readonly trust: TrustBundle;
  readonly target: ParsedOrigin;
  readonly network: Network;
  readonly contexts: SecureContexts;
}

/** Never throws: what goes wrong is the verdict. */
export async function testHandshake(test: HandshakeTest): Promise<HandshakeReport> {
  const { credential, trust, target, network } = test;
  const { signal } = network;
  const { destination, origin } = target;
  const { certificateId, version } = credential;
  const report: Mutable<HandshakeReport> = {
    origin,
    certificateId,
    version,
    presented: [],
    address: null,
    connectMs: null,
    tls: null,
    originChain: [],
    acceptedAuthorities: null,
    verdict: { ok: true, message: "" },
  };
  const presented = (): void => {
    const chain = splitChain(credential.chain);
    report.presented = chain.map((pem) => describe(new X509Certificate(pem)));
  };
  try {
    const startedAt = performance.now();
    const socket = await dial(destination, network);
    report.address = socket.remoteAddress ?? null;
    report.connectMs = performance.now() - startedAt;
    const tls = await handshake(socket, {
      signal,
      destination,
      context: test.contexts.get(credential, trust, destination.host),
      spiffe: trust.spiffe,
      presented: { certificateId, version },
      protocols: ["http/1.1", "h2"],
      timeout: network.timeouts.handshake,
    });
    const asked = tls.getSharedSigalgs().length > 0;
    report.tls = {
      version: tls.getProtocol() ?? "unknown",
      cipher: tls.getCipher().standardName,
      keyExchange: keyExchange(tls),
      protocol: tls.alpnProtocol || null,
      handshakeMs: performance.now() - startedAt - report.connectMs,
      asked,
    };
    if (asked) presented();
    report.originChain = peerChain(tls);
    const error = await firstRead(tls, signal);
    if (error !== null) {
      const facts = { presented: { certificateId, version }, asked, answered: false };
      throw exchangeFailure(error, destination, { ...facts, tlsVersion: report.tls.version });
    }
    report.verdict = {
      ok: true,
      message: asked
        ? "the origin was verified, asked for the certificate and did not refuse it"
        : "the origin was verified; it asked for no certificate",
    };
  } catch (error) {
    report.verdict = verdictOf(error);
    if (error instanceof Failure && error.facts["askedForCertificate"] === true) presented();
  }
  if (report.address !== null && signal?.aborted !== true) {
    report.acceptedAuthorities = await acceptedAuthorities(report.address, destination, signal);
  }
  return report;
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

/** Advice to run the test is for those who have not just done so. */
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
