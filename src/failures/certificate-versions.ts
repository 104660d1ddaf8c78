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
      "No version was in force before the active one, or those that were have expired, were revoked, or are no longer stored. What a rollback has left does not count.",
    fix: "See what there is with `countersign certificate show`, and present one with `countersign certificate activate`; or upload a new version: `countersign certificate rotate`.",
  },
  certificate_kind_differs: {
    side: "caller",
    status: 400,
    number: 7000283,
    title: "this works for the other kind of certificate only",
    cause: "Leaf certificates are presented, and can be revoked; CAs verify origins.",
    fix: "Compare the ids with `countersign certificate list` and `countersign ca list`.",
  },
  authority_in_use: {
    side: "caller",
    status: 409,
    number: 7000284,
    title: "certificates rely on the CA alone",
    cause:
      "A certificate whose origins are verified by this CA would be verified by others without it.",
    fix: "Untie it first: `countersign ca trust`.",
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
