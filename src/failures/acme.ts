/** Failures of certificates that an ACME server (RFC 8555) issues for hosts. */
export const acmeFailures = {
  acme_host_unfit: {
    side: "caller",
    status: 400,
    number: 7000860,
    title: "a certificate for this host cannot be ordered by ACME",
    cause:
      "The host is a wildcard, which needs a record in the DNS as proof (DNS-01), and Countersign serves no DNS; or the host belongs to another account.",
    fix: "Name each host, or get the wildcard with certbot or lego and use `countersign host certificate HOST --folder DIR`.",
  },
  acme_terms_not_accepted: {
    side: "caller",
    status: 400,
    number: 7000861,
    title: "the ACME server has terms that were not accepted",
    cause: "It opens an account only for those who agree to its terms of service.",
    fix: "Read them, then repeat `countersign host acme HOST` with `--accept-terms`.",
  },
  acme_external_account_required: {
    side: "caller",
    status: 400,
    number: 7000866,
    title: "the ACME server opens accounts only for those who have one with its operator",
    cause: "It wants External Account Binding (RFC 8555, 7.3.4), and the order named no account.",
    fix: "Get a key id and a MAC key where you have that account, then repeat `countersign host acme HOST` with `--eab-kid` and `--eab-key-file`.",
  },
  acme_unreachable: {
    side: "origin",
    status: 502,
    number: 7000862,
    title: "the ACME server could not be asked",
    cause:
      "Countersign does not connect to the address of its URL, its certificate is from a CA that is not trusted, or its answer is not ACME.",
    fix: "Check the URL with curl; `countersign host acme HOST --ca FILE` trusts a private CA, and a private address has to be named with `countersign start --origin-allow`. The log says why.",
  },
  acme_refused: {
    side: "origin",
    status: 502,
    number: 7000863,
    title: "the ACME server did not issue a certificate",
    cause:
      "It could not verify the host (at port 80, or at port 443 with tls-alpn-01), its rate limit is reached, or it does not issue for this name.",
    fix: "Have the host's DNS lead to this machine, and port 80 to the ingress (`countersign start --http-port`); with tls-alpn-01 it is port 443 (`--https-port`).",
  },
  acme_unfinished: {
    side: "origin",
    status: 504,
    number: 7000864,
    title: "the ACME server did not finish in time",
    cause: "An order takes two minutes at most, from the first request to the certificate.",
    fix: "Try again later. The current certificate stays in force.",
  },
  acme_busy: {
    side: "caller",
    status: 429,
    number: 7000865,
    title: "the account has too many orders at ACME servers in progress",
    cause: "An account has ten orders at once.",
    fix: "Wait until one of them ends, at most two minutes.",
  },
} as const;
