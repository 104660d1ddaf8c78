import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure, failures, type FailureCode } from "../../failures/failures.ts";
import {
  alertOf,
  dialFailure,
  exchangeFailure,
  handshakeFailure,
  presentedOf,
  type ConnectionFacts,
} from "./classify.ts";
import type { PeerFacts } from "./peer.ts";

const destination = { host: "a.example", port: 8443 };
const presented = { certificateId: "c", version: 2 };
const context = { destination, presented, peer: null, heard: true, asked: true };
const already = new Failure("origin_name_timeout");

function coded(code: string, message = "words"): Error {
  return Object.assign(new Error(message), { code });
}

function alert(number: number): Error {
  return coded("ERR_SSL_ALERT", `error:0A000:SSL routines::alert:SSL alert number ${number}`);
}

test("of a credential messages have the certificate and its version, and nothing else", () => {
  const credential = { ...presented, sealedKey: "secret" };
  assert.deepEqual(presentedOf(credential), presented);
  assert.equal(presentedOf(null), null);
});

test("what is a failure already stays as it is", () => {
  assert.equal(dialFailure(already, destination, ""), already);
  assert.equal(handshakeFailure(already, context), already);
  assert.equal(exchangeFailure(already, destination, null), already);
});

const dials: Record<string, FailureCode> = {
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
  EOTHER: "origin_failed",
};

test("the system's code says why a connection could not be made", () => {
  for (const [errno, code] of Object.entries(dials)) {
    const error = coded(errno);
    const failure = dialFailure(error, destination, "192.0.2.1");
    assert.equal(failure.code, code, errno);
    assert.equal(
      failure.message,
      `connecting to a.example:8443 (192.0.2.1): ${failures[code].title} (${errno})`,
    );
    assert.deepEqual(failure.facts, { host: "a.example", port: 8443, errno });
    assert.equal(failure.cause, error);
  }
});

test("of several addresses the last one tried says why; an error without a code, by its name", () => {
  const several = new AggregateError(
    ["ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH"].map((code) => coded(code)),
  );
  assert.equal(dialFailure(several, destination, "").code, "origin_unreachable");
  const none = Object.assign(new AggregateError([]), { code: "ETIMEDOUT" });
  assert.equal(dialFailure(none, destination, "").code, "origin_connect_timeout");
  assert.match(dialFailure(new TypeError("x"), destination, "").message, /\(TypeError\)$/);
});

test("an alert is known by its number", () => {
  assert.equal(alertOf(alert(116)), 116);
  assert.equal(alertOf(new Error("alert number")), null);
});

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

test("a refusal of the certificate is reported as such, in the handshake and after it", () => {
  for (const [number, code] of Object.entries(refusals)) {
    const error = alert(Number(number));
    const early = handshakeFailure(error, context);
    assert.deepEqual([early.code, early.facts["alert"]], [code, Number(number)]);
    const failure = exchangeFailure(error, destination, null);
    assert.equal(failure.code, code);
    assert.equal(failure.message, `a.example:8443: ${failures[code].title} (alert ${number})`);
    assert.equal(failure.facts["alert"], Number(number));
  }
});

test("other alerts end a handshake for reasons of their own", () => {
  for (const [number, heard, code] of [
    [70, true, "origin_protocol_version"],
    [112, true, "origin_name_unknown"],
    [40, true, "origin_handshake_failed"],
    [40, false, "origin_no_shared_cipher"],
    [71, true, "origin_no_shared_cipher"],
    [80, false, "origin_handshake_failed"],
  ] as const) {
    assert.equal(handshakeFailure(alert(number), { ...context, heard }).code, code, `${number}`);
  }
  assert.equal(exchangeFailure(alert(80), destination, null).code, "origin_failed");
});

const handshakes: Record<string, FailureCode> = {
  UNSPECIFIED: "origin_certificate_invalid",
  CERT_HAS_EXPIRED: "origin_certificate_expired",
  CERT_NOT_YET_VALID: "origin_certificate_not_yet_valid",
  DEPTH_ZERO_SELF_SIGNED_CERT: "origin_certificate_self_signed",
  SELF_SIGNED_CERT_IN_CHAIN: "origin_certificate_unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT: "origin_certificate_unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "origin_certificate_unknown_ca",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "origin_certificate_unknown_ca",
  ERR_TLS_CERT_ALTNAME_INVALID: "origin_certificate_wrong_name",
  ERR_SPIFFE_ID: "origin_certificate_wrong_spiffe_id",
  CERT_REVOKED: "origin_certificate_invalid",
  INVALID_CA: "origin_certificate_invalid",
  PATH_LENGTH_EXCEEDED: "origin_certificate_invalid",
  ERR_SSL_WRONG_VERSION_NUMBER: "origin_not_tls",
  ERR_SSL_HTTP_REQUEST: "origin_not_tls",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "origin_not_tls",
  ERR_SSL_RECORD_LAYER_FAILURE: "origin_not_tls",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "origin_protocol_version",
  ERR_SSL_VERSION_TOO_LOW: "origin_protocol_version",
  ERR_SSL_NO_PROTOCOLS_AVAILABLE: "origin_protocol_version",
  ERR_SSL_BAD_SIGNATURE: "origin_handshake_failed",
  ERR_OTHER_THING: "origin_failed",
  EOTHER: "origin_failed",
  xINVALID_CA: "origin_failed",
  INVALID_CAx: "origin_failed",
  UND_ERR_SOCKET: "origin_closed_first_read",
  ECONNRESET: "origin_closed_first_read",
  EPIPE: "origin_closed_first_read",
};

test("OpenSSL's or Node's code says why a handshake failed", () => {
  for (const [reason, code] of Object.entries(handshakes)) {
    const error = coded(reason);
    const failure = handshakeFailure(error, context);
    assert.equal(failure.code, code, reason);
    const why = ["UNSPECIFIED", "ERR_SPIFFE_ID"].includes(reason) ? "words" : reason;
    assert.equal(
      failure.message,
      `TLS handshake with a.example:8443: ${failures[code].title} (${why})`,
    );
    assert.deepEqual(failure.facts, {
      host: "a.example",
      port: 8443,
      reason,
      ...presented,
      askedForCertificate: true,
    });
    assert.equal(failure.cause, error);
  }
});

test("an origin that closes before it has asked for a certificate does not close because of it", () => {
  const early = handshakeFailure(coded("ECONNRESET"), {
    ...context,
    asked: false,
    presented: null,
  });
  assert.equal(early.code, "origin_handshake_reset");
  assert.deepEqual(early.facts, {
    host: "a.example",
    port: 8443,
    reason: "ECONNRESET",
    askedForCertificate: false,
  });
});

const peer: PeerFacts = {
  subject: "CN=server",
  issuer: "CN=CA",
  names: ["DNS:b.example", "DNS:c.example"],
  notBefore: "2026-01-01T00:00:00Z",
  notAfter: "2026-02-01T00:00:00Z",
  fingerprint: "f",
};

test("a fault of a server's certificate is reported with the certificate's own facts", () => {
  const message = (reason: string, of: PeerFacts = peer): string => {
    const failure = handshakeFailure(coded(reason), { ...context, peer: of });
    assert.equal(failure.facts["origin"], of);
    return failure.message;
  };
  assert.equal(
    message("ERR_TLS_CERT_ALTNAME_INVALID"),
    'the certificate of a.example:8443 is not for "a.example" but for DNS:b.example, DNS:c.example',
  );
  assert.match(message("ERR_TLS_CERT_ALTNAME_INVALID", { ...peer, names: [] }), /for no name$/);
  assert.equal(
    message("ERR_SPIFFE_ID"),
    'the server at a.example:8443 is none that "a.example" is known by: words',
  );
  assert.equal(
    message("CERT_HAS_EXPIRED"),
    "the certificate of a.example:8443 (CN=server) or one of its chain has expired: it is valid until 2026-02-01T00:00:00Z",
  );
  assert.equal(
    message("CERT_NOT_YET_VALID"),
    "the certificate of a.example:8443 (CN=server) or one of its chain is not yet valid: it is valid from 2026-01-01T00:00:00Z",
  );
  assert.equal(
    message("UNABLE_TO_GET_ISSUER_CERT"),
    "the certificate of a.example:8443 (CN=server) was issued by CN=CA, which is not trusted here (UNABLE_TO_GET_ISSUER_CERT)",
  );
  assert.match(
    message("UNABLE_TO_GET_ISSUER_CERT", { ...peer, issuer: "" }),
    /by an issuer without a name, which/,
  );
  assert.equal(
    message("INVALID_CA"),
    `TLS handshake with a.example:8443: ${failures["origin_certificate_invalid"].title} (INVALID_CA)`,
  );
});

const exchanges: Record<string, FailureCode> = {
  NO_TURN: "origin_connections_exhausted",
  UND_ERR_HEADERS_TIMEOUT: "origin_headers_timeout",
  UND_ERR_BODY_TIMEOUT: "origin_body_timeout",
  UND_ERR_HEADERS_OVERFLOW: "origin_headers_too_large",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "origin_response_malformed",
  ERR_HTTP2_ERROR: "origin_response_malformed",
  HPE_INVALID_CONSTANT: "origin_response_malformed",
  UND_ERR_INVALID_ARG: "origin_request_malformed",
  UND_ERR_NOT_SUPPORTED: "origin_request_malformed",
  UND_ERR_DESTROYED: "origin_connection_cut",
  UND_ERR_CLOSED: "origin_connection_cut",
  UND_ERR_SOCKET: "origin_closed",
  xHPE_: "origin_failed",
};

test("undici's code says why a request failed", () => {
  for (const [reason, code] of Object.entries(exchanges)) {
    const error = coded(reason);
    const failure = exchangeFailure(error, destination, null);
    assert.equal(failure.code, code, reason);
    const said =
      code === "origin_closed"
        ? "the origin closed the connection without an answer"
        : failures[code].title;
    assert.equal(failure.message, `a.example:8443: ${said} (${reason})`);
    assert.deepEqual(failure.facts, { host: "a.example", port: 8443, reason });
    assert.equal(failure.cause, error);
  }
  const parser = Object.assign(new Error("x"), { name: "HTTPParserError" });
  assert.equal(exchangeFailure(parser, destination, null).code, "origin_response_malformed");
});

test("a connection that is closed before its first answer was closed because of the certificate", () => {
  const facts: ConnectionFacts = {
    presented,
    tlsVersion: "TLSv1.3",
    asked: true,
    answered: false,
  };
  for (const reason of ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]) {
    const of = (known: ConnectionFacts): Failure =>
      exchangeFailure(coded(reason), destination, known);
    assert.equal(of(facts).code, "origin_closed_first_read");
    assert.equal(of({ ...facts, answered: true }).code, "origin_closed");
    assert.equal(of({ ...facts, asked: false }).code, "origin_closed");
    assert.deepEqual(of(facts).facts, {
      host: "a.example",
      port: 8443,
      reason,
      ...presented,
      tls: "TLSv1.3",
      askedForCertificate: true,
    });
  }
});
