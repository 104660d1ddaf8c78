/** Failures of a certificate that is well-formed, but does not fit with those that are stored. */
export const storedCertificateFailures = {
  certificate_not_found: {
    side: "caller",
    status: 404,
    number: 7000270,
    title: "no such certificate in this account",
    cause: "The id is wrong, or the certificate was deleted.",
    fix: "List the certificates with `wrangler cert list`.",
  },
  certificate_in_use: {
    side: "caller",
    status: 409,
    number: 7000271,
    title: "a Worker binds the certificate",
    cause: "Without its certificate, the Worker could no longer reach its origin.",
    fix: "Remove the binding from each of the Workers and deploy them, or delete them.",
  },
  certificate_duplicate: {
    side: "caller",
    status: 409,
    number: 1471,
    title: "the certificate is already in this account",
    cause:
      "The same certificate was uploaded before, perhaps under another name, or it is an earlier version of this certificate.",
    fix: "Use the id of the existing certificate. If it is an earlier version, present it with `countersign certificate activate NAME VERSION`.",
  },
  certificate_name_taken: {
    side: "caller",
    status: 409,
    number: 7000272,
    title: "another certificate has this name",
    cause: "Names are unique in an account, so that a certificate can be found by its name.",
    fix: "Choose another name, or delete the other certificate first.",
  },
  certificate_quota: {
    side: "caller",
    status: 400,
    number: 7000273,
    title: "the account has reached its limit of certificates",
    cause: "Leaf certificates and CAs are counted apart.",
    fix: "Delete unused certificates, or raise the limit with `countersign account limits --certificates <n>`.",
  },
  authority_quota: {
    side: "caller",
    status: 400,
    number: 1489,
    title: "the account has reached its limit of CAs",
    cause: "Leaf certificates and CAs are counted apart.",
    fix: "Delete unused CAs, upload several as one bundle, or raise the limit with `countersign account limits --cas <n>`.",
  },
} as const;
