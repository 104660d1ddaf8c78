import type { PeerFacts } from "./peer.ts";
import type { Socket } from "node:net";
import { isIP } from "node:net";
import {
  checkServerIdentity,
  connect,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import type { SpiffeAuthority } from "../../contract/change-feed.ts";
import { showCertificate } from "../../certificates/shown.ts";
import { Failure } from "../../failures/failures.ts";
import { guarded } from "../../forward/guarded.ts";
import { TLS_FLOOD } from "../../network/tls-floods.ts";
import { handshakeFailure, type PresentedVersion } from "./classify.ts";
import type { Destination } from "./destination.ts";
import { spiffeError } from "./spiffe.ts";
import { closedEarly, destroyedBy } from "./dial.ts";

export interface HandshakeOptions {
  readonly destination: Destination;
  readonly context: SecureContext;
  /** By which SPIFFE IDs the server is known. Default: by the host's name. */
  readonly spiffe?: readonly SpiffeAuthority[] | undefined;
  /** Which certificate the context presents, for messages. Null: none. */
  readonly presented: PresentedVersion | null;
  /** Offered by ALPN, the preferred one first. Empty: no ALPN. */
  readonly protocols: readonly string[];
  /** Whether the server's certificate has to name the host. Default: true. */
  readonly verifyName?: boolean;
  /** A session to resume. */
  readonly session?: Buffer | undefined;
  /** A session to resume later. On TLS 1.2 it comes before the handshake is over. */
  readonly onSession?: ((session: Buffer) => void) | undefined;
  /** In ms. */
  readonly timeout: number;
  /** Aborts when the connection is no longer needed. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A TLS handshake that presents a certificate to a verified server, and to no other.
 *
 * Left to itself, Node judges the server when the handshake is over; on TLS 1.2 it has handed over
 * the client's certificate by then. OpenSSL has a point between: it has verified the chain, and
 * not yet written an answer, when it reports the stapled OCSP response (or that there is none).
 * The server is judged there, on any TLS version: one that fails gets no further byte.
 * @throws Failure `origin_handshake_…`, `origin_certificate_…`, `origin_refused_certificate_…`, or
 * the reason of the signal
 */
export function handshake(socket: Socket, options: HandshakeOptions): Promise<TLSSocket> {
  const { destination, context, presented, protocols, session, timeout, signal } = options;
  const { verifyName = true } = options;
  const { host, port } = destination;
  const isClosed = socket.destroyed;
  return new Promise((fulfil, reject) => {
    const tls: TLSSocket = connect({
      socket,
      // An address is no name that SNI could carry.
      servername: isIP(host) === 0 ? host : "",
      host,
      secureContext: context,
      requestOCSP: true,
      rejectUnauthorized: true,
      // If OpenSSL did not report, Node verifies after the handshake, as it always does.
      checkServerIdentity: (name, certificate) => {
        if (isVerified) return undefined;
        if (options.spiffe !== undefined) return spiffeError(tls, options.spiffe) ?? undefined;
        return verifyName ? checkServerIdentity(name, certificate) : undefined;
      },
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
    const callOff = destroyedBy(signal, tls);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      callOff();
      reject(
        error === signal?.reason
          ? error
          : handshakeFailure(error, { destination, presented, peer, heard, asked }),
      );
    };
    let peer: PeerFacts | null = null;
    /** It has answered with its first messages: version, cipher suite and certificate. */
    let heard = false;
    /** The origin was verified, and asked for our certificate: from here on it may refuse it. */
    let asked = false;
    /** Chain and name were judged, and hold. */
    let isVerified = false;
    tls.on("error", fail);
    // It may close without an error. Then no caller waits for ever.
    const closed = (): void => fail(closedEarly());
    tls.once("close", closed);
    // Of a socket that has closed already nothing is heard.
    if (isClosed) closed();
    let sessions = 0;
    const given = (ticket: Buffer): void => {
      sessions += 1;
      if (sessions > MOST_SESSIONS) {
        const message = `the origin sent more than ${MOST_SESSIONS} TLS sessions`;
        throw Object.assign(new Error(message), { code: TLS_FLOOD });
      }
      options.onSession?.(ticket);
    };
    tls.on("session", guarded(tls, given));
    const judged = guarded(tls, () => {
      heard = true;
      const isNamed = verifyName || options.spiffe !== undefined;
      const error = isNamed ? judge(tls, host, options.spiffe) : chainError(tls);
      if (error === null) {
        asked = tls.getSharedSigalgs().length > 0;
        isVerified = true;
        spareObjects(tls);
        return;
      }
      peer = peerOf(tls);
      tls.destroy(error);
    });
    tls.once("OCSPResponse", judged);
    const connected = guarded(tls, () => {
      clearTimeout(timer);
      callOff();
      delete (tls as Partial<TLSSocket>).getPeerCertificate;
      tls.off("close", closed).off("error", fail);
      // Node leaves it open when a record cannot be decrypted, and who waits would wait on.
      tls.on("error", () => tls.destroy());
      fulfil(tls);
    });
    tls.once("secureConnect", connected);
  });
}

/**
 * Node makes objects of the whole chain for a second look at the name, a tenth of what a handshake
 * costs here. Until the handshake is over it gets an empty one: a server that was verified needs no look.
 */
function spareObjects(tls: TLSSocket): void {
  tls.getPeerCertificate = () => NOTHING as PeerCertificate & DetailedPeerCertificate;
}

const NOTHING = {};

function peerOf(tls: TLSSocket): PeerFacts | null {
  const leaf = tls.getPeerX509Certificate();
  if (leaf === undefined) return null;
  const { serialNumber: _, ...shown } = showCertificate(leaf);
  return shown;
}

/** A server sends two, or as many as it expects connections. */
const MOST_SESSIONS = 256;

/** Only subject alternative names count, and `*` only as a whole label: as workerd judges. */
const RFC_9525 = { subject: "never", partialWildcards: false } as const;

/** Null: chain and name hold. */
function judge(
  tls: TLSSocket,
  host: string,
  spiffe: readonly SpiffeAuthority[] | undefined,
): Error | null {
  const error = chainError(tls);
  if (error !== null) return error;
  // A server that resumes a session proves that it is the server that was verified when the session
  // began.
  if (tls.isSessionReused()) return null;
  if (spiffe !== undefined) return spiffeError(tls, spiffe);
  const leaf = tls.getPeerX509Certificate();
  const named = isIP(host) === 0 ? leaf?.checkHost(host, RFC_9525) : leaf?.checkIP(host);
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
