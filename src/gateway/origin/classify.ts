import { Failure, failures, type FailureCode } from "../../failures/failures.ts";
import { calledBy } from "../../certificates/shown.ts";
import { NO_TURN } from "../../forward/patience.ts";
import { TLS_FLOOD } from "../../network/tls-floods.ts";
import type { Destination } from "./destination.ts";
import type { PeerFacts } from "./peer.ts";

/** The certificate that was, or would have been, presented. */
export interface PresentedVersion {
  readonly certificateId: string;
  readonly version: number;
}

export function presentedOf(credential: PresentedVersion | null): PresentedVersion | null {
  if (credential === null) return null;
  const { certificateId, version } = credential;
  return { certificateId, version };
}

/** An error of `net.connect`. */
export function dialFailure(error: Error, destination: Destination, addresses: string): Failure {
  if (error instanceof Failure) return error;
  const { host, port } = destination;
  const errno = systemCode(error);
  const code = dialCodes[errno] ?? "origin_failed";
  return new Failure(code, {
    message: `connecting to ${host}:${port} (${addresses}): ${failures[code].title} (${errno})`,
    facts: { host, port, errno },
    cause: error,
  });
}

/** An error before the handshake was over. */
export function handshakeFailure(
  error: Error,
  context: {
    readonly destination: Destination;
    readonly presented: PresentedVersion | null;
    readonly peer: PeerFacts | null;
    /** It has chosen a version and a cipher suite. */
    readonly heard: boolean;
    /** It was verified, and asked for a certificate. */
    readonly asked: boolean;
  },
): Failure {
  if (error instanceof Failure) return error;
  const { destination, presented, peer, heard, asked } = context;
  const { host, port } = destination;
  const reason = systemCode(error);
  const alert = alertOf(error);
  const code = handshakeCode({ reason, alert, heard, asked });
  return new Failure(code, {
    message: handshakeMessage(
      code,
      destination,
      peer,
      SAID_IN_WORDS.has(reason) ? error.message : reason,
    ),
    facts: {
      host,
      port,
      reason,
      ...presented,
      askedForCertificate: asked,
      ...(alert === null ? {} : { alert }),
      ...(peer === null ? {} : { origin: peer }),
    },
    cause: error,
  });
}

/** A chain that OpenSSL has no code for, and what a server is instead of the one that is expected. */
const SAID_IN_WORDS: ReadonlySet<string> = new Set(["UNSPECIFIED", "ERR_SPIFFE_ID"]);

/** What is known of the connection that a request failed on. */
export interface ConnectionFacts {
  readonly presented: PresentedVersion | null;
  readonly tlsVersion: string | null;
  /** The origin asked for a certificate in the handshake. */
  readonly asked: boolean;
  /** It has sent something after the handshake. */
  readonly answered: boolean;
}

/** How far a request, or a connection by `connect()`, had come when the origin closed the connection. */
export type Ending = keyof typeof endings;

const endings = {
  unanswered: "the origin closed the connection without an answer",
  answering: "the origin closed the connection in the middle of its answer",
  unused: "the origin closed the connection before anything was sent over it",
  silent: "the origin closed the connection after it had got data, and before it had sent any",
  midway: "the origin broke the connection off, over which it had sent data",
} as const;

/** An error of a request on a connection that stood. `facts` is null where the connection is unknown. */
export function exchangeFailure(
  error: Error,
  destination: Destination,
  facts: ConnectionFacts | null,
  ending: Ending = "unanswered",
): Failure {
  if (error instanceof Failure) return error;
  const { host, port } = destination;
  const reason = systemCode(error);
  const alert = alertOf(error);
  const refusal = alert === null ? undefined : refusals[alert];
  const code =
    refusal ??
    exchangeCodes[reason] ??
    (isClosing(reason)
      ? closedCode(facts)
      : reason.startsWith("HPE_") || error.name === "HTTPParserError"
        ? "origin_response_malformed"
        : "origin_failed");
  return new Failure(code, {
    message: `${host}:${port}: ${code === "origin_closed" ? endings[ending] : failures[code].title} (${alert === null ? reason : `alert ${alert}`})`,
    facts: {
      host,
      port,
      reason,
      ...facts?.presented,
      ...(facts === null ? {} : { tls: facts.tlsVersion, askedForCertificate: facts.asked }),
      ...(alert === null ? {} : { alert }),
    },
    cause: error,
  });
}

/** The number of the TLS alert that the other side sent, or null. */
export function alertOf(error: Error): number | null {
  const match = /alert number (\d+)/.exec(error.message);
  return match === null ? null : Number(match[1]);
}

const dialCodes: Record<string, FailureCode> = {
  ECONNREFUSED: "origin_refused",
  ECONNRESET: "origin_handshake_reset",
  ENETUNREACH: "origin_unreachable",
  EHOSTUNREACH: "origin_unreachable",
  EADDRNOTAVAIL: "origin_unreachable",
  ENETDOWN: "origin_unreachable",
  EHOSTDOWN: "origin_unreachable",
  ETIMEDOUT: "origin_connect_timeout",
  EMFILE: "machine_files_exhausted",
  ENFILE: "machine_files_exhausted",
};

/** TLS alerts about the client's certificate (RFC 8446, section 6.2). */
const refusals: Record<number, FailureCode> = {
  42: "origin_refused_certificate_bad",
  43: "origin_refused_certificate_unsupported",
  44: "origin_refused_certificate_revoked",
  45: "origin_refused_certificate_expired",
  46: "origin_refused_certificate_unknown",
  48: "origin_refused_certificate_ca",
  49: "origin_refused_certificate_denied",
  116: "origin_refused_certificate_required",
};

const otherAlerts: Record<number, FailureCode> = {
  70: "origin_protocol_version",
  112: "origin_name_unknown",
};

/** What OpenSSL says of a chain (openssl-verification-options), and Node of a name. */
const verdicts: Record<string, FailureCode> = {
  CERT_HAS_EXPIRED: "origin_certificate_expired",
  CERT_NOT_YET_VALID: "origin_certificate_not_yet_valid",
  DEPTH_ZERO_SELF_SIGNED_CERT: "origin_certificate_self_signed",
  SELF_SIGNED_CERT_IN_CHAIN: "origin_certificate_unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT: "origin_certificate_unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "origin_certificate_unknown_ca",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "origin_certificate_unknown_ca",
  ERR_TLS_CERT_ALTNAME_INVALID: "origin_certificate_wrong_name",
  ERR_SPIFFE_ID: "origin_certificate_wrong_spiffe_id",
};

const exchangeCodes: Record<string, FailureCode> = {
  [NO_TURN]: "origin_connections_exhausted",
  UND_ERR_HEADERS_TIMEOUT: "origin_headers_timeout",
  UND_ERR_BODY_TIMEOUT: "origin_body_timeout",
  UND_ERR_HEADERS_OVERFLOW: "origin_headers_too_large",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "origin_response_malformed",
  ERR_RESPONSE_MALFORMED: "origin_response_malformed",
  [TLS_FLOOD]: "origin_response_malformed",
  ERR_TRANSFER_CODING: "origin_response_malformed",
  // Of nghttp2, which reads what came: no HTTP/2, or a header of more than 64 KB.
  ERR_HTTP2_ERROR: "origin_response_malformed",
  UND_ERR_INVALID_ARG: "origin_request_malformed",
  UND_ERR_NOT_SUPPORTED: "origin_request_malformed",
  UND_ERR_DESTROYED: "origin_connection_cut",
  UND_ERR_CLOSED: "origin_connection_cut",
};

function handshakeCode({
  reason,
  alert,
  heard,
  asked,
}: {
  readonly reason: string;
  readonly alert: number | null;
  readonly heard: boolean;
  readonly asked: boolean;
}): FailureCode {
  if (alert !== null) {
    // Of handshake_failure, sent in place of an answer to the first message, and insufficient_security.
    if ((alert === 40 && !heard) || alert === 71) return "origin_no_shared_cipher";
    return refusals[alert] ?? otherAlerts[alert] ?? "origin_handshake_failed";
  }
  // A chain that OpenSSL refuses for a reason Node has no name for. Its words are in the message.
  if (reason === "UNSPECIFIED") return "origin_certificate_invalid";
  const verdict = verdicts[reason];
  if (verdict !== undefined) return verdict;
  // On TLS 1.2 an origin judges our certificate within the handshake.
  if (isClosing(reason)) return asked ? "origin_closed_first_read" : "origin_handshake_reset";
  if (/WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER/.test(reason)) {
    return "origin_not_tls";
  }
  if (/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_PROTOCOLS/.test(reason)) {
    return "origin_protocol_version";
  }
  if (reason.startsWith("ERR_SSL_")) return "origin_handshake_failed";
  // OpenSSL's other verdicts on a chain: their codes have no prefix.
  return /^[A-Z]+(_[A-Z0-9]+)+$/.test(reason) && !reason.startsWith("ERR_")
    ? "origin_certificate_invalid"
    : "origin_failed";
}

function handshakeMessage(
  code: FailureCode,
  { host, port }: Destination,
  peer: PeerFacts | null,
  reason: string,
): string {
  const where = `${host}:${port}`;
  const { title } = failures[code];
  if (peer === null) return `TLS handshake with ${where}: ${title} (${reason})`;
  switch (code) {
    case "origin_certificate_wrong_name":
      return `the certificate of ${where} is not for "${host}" but for ${peer.names.join(", ") || "no name"}`;
    case "origin_certificate_wrong_spiffe_id":
      return `the server at ${where} is none that "${host}" is known by: ${reason}`;
    case "origin_certificate_expired":
      return `the certificate of ${where} (${calledBy(peer)}) or one of its chain has expired: it is valid until ${peer.notAfter}`;
    case "origin_certificate_not_yet_valid":
      return `the certificate of ${where} (${calledBy(peer)}) or one of its chain is not yet valid: it is valid from ${peer.notBefore}`;
    case "origin_certificate_unknown_ca":
      return `the certificate of ${where} (${calledBy(peer)}) was issued by ${peer.issuer || "an issuer without a name"}, which is not trusted here (${reason})`;
    default:
      return `TLS handshake with ${where}: ${title} (${reason})`;
  }
}

/**
 * A connection that never carried an answer was most likely closed for our certificate: on TLS
 * 1.3 that verdict comes after the handshake.
 */
function closedCode(facts: ConnectionFacts | null): FailureCode {
  return facts !== null && !facts.answered && facts.asked
    ? "origin_closed_first_read"
    : "origin_closed";
}

/** A session over HTTP/2 is closed with a code by a GOAWAY, a connection without one. */
const CLOSING: ReadonlySet<string> = new Set([
  "UND_ERR_SOCKET",
  "ECONNRESET",
  "EPIPE",
  "ERR_HTTP2_SESSION_ERROR",
]);

function isClosing(reason: string): boolean {
  return CLOSING.has(reason);
}

/** The most telling code of an error: that of the last attempt, where several addresses were tried. */
function systemCode(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof AggregateError && error.errors.length > 0) {
    return systemCode(error.errors.at(-1));
  }
  return code ?? error.name;
}
