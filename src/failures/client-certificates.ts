/** Failures of clients that have to show a certificate to the ingress, and of the rules for them. */
export const clientCertificateFailures = {
  client_certificate_missing: {
    side: "caller",
    status: 403,
    number: 7000750,
    title: "this host requires a client certificate",
    cause:
      "The client presented no certificate. It has none, it came over plain HTTP, or its certificate is of no CA that the host names: many clients send none then.",
    fix: "Connect over https:// with a certificate of a CA that the host accepts; `countersign host clients HOST` lists them.",
  },
  client_certificate_untrusted: {
    side: "caller",
    status: 403,
    number: 7000751,
    title: "the client certificate is not of a CA that this host accepts",
    cause:
      "Another CA issued it, the client did not send an intermediate, the certificate is not for clients, or an extension in it is malformed.",
    fix: "Present one of a CA that the host accepts, with its intermediates, leaf first.",
  },
  client_certificate_expired: {
    side: "caller",
    status: 403,
    number: 7000752,
    title: "the client certificate is not valid now",
    cause: "It has expired or is not valid yet, or the clock of one side is wrong.",
    fix: "Renew the client's certificate; compare both clocks if it is new.",
  },
  client_certificate_revoked: {
    side: "caller",
    status: 403,
    number: 7000753,
    title: "the client certificate was revoked",
    cause: "The certificate, or an intermediate above it, was revoked or is on a revocation list.",
    fix: "Issue another certificate to the client, or undo the revocation if it was a mistake.",
  },
  client_handshake_outdated: {
    side: "caller",
    status: 421,
    number: 7000754,
    title: "the rules for clients changed after this connection was opened",
    cause:
      "The connection's handshake did not ask for a certificate, or asked for one of CAs that have changed since.",
    fix: "Open a new connection. HTTP clients do so by themselves after this answer, or when they restart.",
  },
  client_rules_invalid: {
    side: "caller",
    status: 400,
    number: 7000755,
    title: "the rules for clients are not valid",
    cause: "A host is not in the zone, or a CA does not belong to the account.",
    fix: "List the CAs with `countersign ca list`. `managed` is the account's own CA.",
  },
  client_certificate_unknown: {
    side: "caller",
    status: 404,
    number: 7000756,
    title: "there is no such client certificate or revocation",
    cause: "Its id belongs to another zone or account, or it was undone.",
    fix: "List what there is at `/zones/{zone_id}/client_certificates`.",
  },
  revocation_list_invalid: {
    side: "caller",
    status: 400,
    number: 7000757,
    title: "the revocation list is not accepted",
    cause:
      "It is not a CRL, none of the account's CAs signed it, it is too long, or it is older than the list in force.",
    fix: "Upload the CA that signed it with `countersign ca upload --cert FILE`, then add the list again.",
  },
  revocation_list_unreachable: {
    side: "caller",
    status: 400,
    number: 7000758,
    title: "the revocation list could not be fetched",
    cause:
      "Its URL did not answer with status 200 within ten seconds, or Countersign does not connect to its address.",
    fix: "Try the URL with curl. A private address, or any over http://, has to be named with `--origin-allow`.",
  },
  revocation_list_unknown: {
    side: "caller",
    status: 404,
    number: 7000759,
    title: "there is no such revocation list",
    cause: "Its id belongs to another account, or it was deleted.",
    fix: "List them with `countersign host crl`.",
  },
} as const;
