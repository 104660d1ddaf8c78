/** Failures of changing a certificate that is stored: versions, trust, sources. */
export const rotationFailures = {
  certificate_version_not_found: {
    side: "caller",
    status: 404,
    number: 7000280,
    title: "the certificate has no such version",
    cause: "The number is wrong, or the version was removed: the newest 20 are kept.",
    fix: "List them with `countersign certificate versions`.",
  },
  certificate_version_revoked: {
    side: "caller",
    status: 409,
    number: 7000281,
    title: "the version was revoked",
    cause: "A version that was revoked is never presented again.",
    fix: "Upload a new version: `countersign certificate rotate`.",
  },
  certificate_rollback_impossible: {
    side: "caller",
    status: 409,
    number: 7000282,
    title: "there is no version to roll back to",
    cause:
      "No version was active before this one, or the versions before it have expired, were revoked, or are no longer stored. A version that a rollback has replaced does not count.",
    fix: "See what there is with `countersign certificate show`, and present one with `countersign certificate activate`; or upload a new version: `countersign certificate rotate`.",
  },
  certificate_kind_differs: {
    side: "caller",
    status: 400,
    number: 7000283,
    title: "this works only for the other kind of certificate",
    cause: "Leaf certificates are presented, and can be revoked; CAs verify origins.",
    fix: "Compare the ids with `countersign certificate list` and `countersign ca list`.",
  },
  authority_in_use: {
    side: "caller",
    status: 409,
    number: 7000284,
    title: "certificates trust only this CA",
    cause: "Without this CA, the origins of these certificates would be verified by other CAs.",
    fix: "First change where the CA counts: `countersign ca trust`.",
  },
  webhook_not_found: {
    side: "caller",
    status: 404,
    number: 7000285,
    title: "the account has no webhook",
    cause: "None was set, or it was removed.",
    fix: "Set one with `countersign certificate webhook set URL`.",
  },
} as const;
