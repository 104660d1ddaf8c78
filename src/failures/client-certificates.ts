/** Failures of clients that have to show a certificate to the ingress, and of the rules for them. */
export const clientCertificateFailures = {
  client_certificate_missing: {
    side: "caller",
    status: 403,
    number: 7000750,
    title: "this host wants a client certificate",
    cause: "The client presented none: it has none, or came over plain HTTP.",
    fix: "Connect over https:// with a certificate of a CA that the host accepts; `countersign host show HOST` lists them.",
  },
  client_certificate_untrusted: {
    side: "caller",
    status: 403,
    number: 7000751,
    title: "the client certificate is not of a CA that this host accepts",
    cause: "Another CA issued it, an intermediate was not sent, or it is not made for clients.",
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
    cause: "It, or a certificate between it and its CA, is revoked or on a revocation list.",
    fix: "Issue another to the client, or take the revocation back if it was a mistake.",
  },
  client_handshake_outdated: {
    side: "caller",
    status: 421,
    number: 7000754,
    title: "the rules for clients changed after this connection was opened",
    cause:
      "Its handshake did not ask for a certificate, or asked for one of a CA that no longer counts.",
    fix: "Open a new connection; HTTP clients do so by themselves after this answer or at their next start.",
  },
} as const;
