/** Failures of certificates that an ACME server (RFC 8555) issues for hosts. */
export const acmeFailures = {
  acme_host_unfit: {
    side: "caller",
    status: 400,
    number: 7000860,
    title: "no certificate is ordered by ACME for this host",
    cause:
      "A wildcard is only issued for a record in the DNS (DNS-01), which Countersign does not serve, or the host is another account's.",
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
    title: "the ACME server opens accounts only for those who have one with whoever runs it",
    cause: "It wants External Account Binding (RFC 8555, 7.3.4), and the order named no account.",
    fix: "Get a key id and a MAC key where you have that account, then repeat `countersign host acme HOST` with `--eab-kid` and `--eab-key-file`.",
  },
  acme_unreachable: {
    side: "origin",
    status: 502,
    number: 7000862,
    title: "the ACME server could not be asked",
    cause:
      "Its URL leads where Countersign does not connect, its certificate is of a CA that is not trusted, or what it answers is not ACME.",
    fix: "Check the URL with curl; `countersign host acme HOST --ca FILE` trusts a private CA, and a private address has to be named with `countersign start --origin-allow`. The log says why.",
  },
  acme_refused: {
    side: "origin",
    status: 502,
    number: 7000863,
    title: "the ACME server did not issue a certificate",
    cause:
      "It could not reach the host at port 80, a limit of its own is passed, or it does not issue for this name.",
    fix: "Have the host's DNS lead to this machine, and port 80 to the ingress (`countersign start --http-port`).",
  },
  acme_unfinished: {
    side: "origin",
    status: 504,
    number: 7000864,
    title: "the ACME server did not finish in time",
    cause: "An order takes two minutes at most, from the first request to the certificate.",
    fix: "Try again later; the certificate before stays in force.",
  },
  acme_busy: {
    side: "caller",
    status: 429,
    number: 7000865,
    title: "the account has too many orders at ACME servers in progress",
    cause: "An account has ten orders at once.",
    fix: "Wait for those that run, two minutes at most.",
  },
} as const;
