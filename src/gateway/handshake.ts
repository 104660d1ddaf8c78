import type { PeerFacts } from "./peer.ts";
import type { Socket } from "node:net";
import { isIP } from "node:net";
import { connect, type SecureContext, type TLSSocket } from "node:tls";
import { Failure } from "../failures/failures.ts";
import { handshakeFailure, type Presented } from "./classify.ts";
import type { Destination } from "./destination.ts";

export interface HandshakeOptions {
  readonly destination: Destination;
  readonly context: SecureContext;
  /** Which certificate the context presents, for messages. Null: none. */
  readonly presented: Presented | null;
  /** Offered by ALPN, the preferred one first. Empty: no ALPN. */
  readonly protocols: readonly string[];
  /** A session to resume. */
  readonly session?: Buffer | undefined;
  /** In ms. */
  readonly timeout: number;
}

/**
 * A TLS handshake that presents a certificate to a verified server, and to no other.
 *
 * Left to itself, Node judges the server when the handshake is over; on TLS 1.2 it has handed over
 * the client's certificate by then. OpenSSL has a point between: it has verified the chain, and
 * not yet written an answer, when it reports the stapled OCSP response (or that there is none).
 * The server is judged there, on any TLS version: one that fails gets no further byte.
 * @throws Failure `origin_handshake_…`, `origin_certificate_…`, `origin_refused_certificate_…`
 */
export function handshake(socket: Socket, options: HandshakeOptions): Promise<TLSSocket> {
  const { destination, context, presented, protocols, session, timeout } = options;
  const { host, port } = destination;
  return new Promise((fulfil, reject) => {
    const tls = connect({
      socket,
      // An address is no name that SNI could carry.
      servername: isIP(host) === 0 ? host.replace(/\.$/, "") : "",
      host,
      secureContext: context,
      requestOCSP: true,
      rejectUnauthorized: true,
      ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
      ...(session === undefined ? {} : { session }),
    });
    const timer = setTimeout(() => {
      tls.destroy(
        new Failure("origin_handshake_timeout", {
          message: `${host}:${port} did not finish the TLS handshake within ${timeout} ms`,
          facts: { host, port, timeoutMs: timeout },
        }),
      );
    }, timeout);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(handshakeFailure(error, { destination, presented, peer }));
    };
    let peer: PeerFacts | null = null;
    tls.once("OCSPResponse", () => {
      const error = judge(tls, host);
      if (error === null) return;
      peer = peerOf(tls);
      tls.destroy(error);
    });
    tls.once("error", fail);
    tls.once("secureConnect", () => {
      clearTimeout(timer);
      tls.removeListener("error", fail);
      fulfil(tls);
    });
  });
}

function peerOf(tls: TLSSocket): PeerFacts | null {
  const leaf = tls.getPeerX509Certificate();
  if (leaf === undefined) return null;
  return {
    subject: leaf.subject.replaceAll("\n", ","),
    issuer: leaf.issuer.replaceAll("\n", ","),
    names: leaf.subjectAltName?.split(", ") ?? [],
    notBefore: leaf.validFromDate.toISOString(),
    notAfter: leaf.validToDate.toISOString(),
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

/** Null: chain and name hold. */
function judge(tls: TLSSocket, host: string): Error | null {
  const error = chainError(tls);
  if (error !== null) return error;
  // Who resumes a session proves to be the server that was judged when it began.
  if (tls.isSessionReused()) return null;
  const leaf = tls.getPeerX509Certificate();
  const named = isIP(host) === 0 ? leaf?.checkHost(host.replace(/\.$/, "")) : leaf?.checkIP(host);
  if (named !== undefined) return null;
  return Object.assign(new Error(`the certificate is not for ${host}`), {
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
  });
}

/**
 * Node tells a program of this only after the handshake (`authorized`); this is what it looks at
 * itself. A Node without it cannot be used safely with TLS 1.2, so that is an error too.
 */
function chainError(tls: TLSSocket): Error | null {
  const { ssl } = tls as TLSSocket & { ssl?: { verifyError?: () => Error | null | undefined } };
  if (typeof ssl?.verifyError !== "function") {
    return new Error("this version of Node does not tell whether the server was verified");
  }
  return ssl.verifyError() ?? null;
}
