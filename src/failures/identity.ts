/** Failures of the identities that Countersign issues to Workers. */
export const identityFailures = {
  identity_revoked: {
    side: "caller",
    status: 520,
    number: 7000640,
    title: "the Worker's identity was revoked",
    cause: "Somebody revoked it: a new deploy does not bring an identity back.",
    fix: "If the Worker may have one again: `countersign identity restore WORKER`.",
  },
  identity_deleted: {
    side: "caller",
    status: 520,
    number: 7000649,
    title: "the identity of this name belonged to a Worker that was deleted",
    cause:
      "Another Worker has the name now. What origins let the first one do, they would let this one do as well.",
    fix: "If it may have the identity: `countersign identity restore WORKER`.",
  },
  identity_missing: {
    side: "platform",
    status: 520,
    number: 7000641,
    title: "the Worker has no identity yet",
    cause: "The control plane has not issued it: it was away, or refused it. It is asked again.",
    fix: "Look at `countersign identity list` and the platform's log.",
  },
  identity_authority_offline: {
    side: "caller",
    status: 409,
    number: 7000642,
    title: "no CA of the account can issue identities",
    cause: "Its intermediate is not signed yet, or none was activated.",
    fix: "See what is missing with `countersign identity ca show`.",
  },
  identity_not_found: {
    side: "caller",
    status: 404,
    number: 7000643,
    title: "the Worker never had an identity",
    cause: "No deployed version of it has a binding with the certificate id `identity`.",
    fix: "List those that have one with `countersign identity list`.",
  },
  identity_authority_order: {
    side: "caller",
    status: 409,
    number: 7000645,
    title: "the CA is not at that step",
    cause: "A CA is prepared, trusted by all, activated and then retired, in this order.",
    fix: "See where each stands with `countersign identity ca show`.",
  },
  policy_invalid: {
    side: "caller",
    status: 400,
    number: 7000646,
    title: "the policy cannot be used",
    cause:
      "A rule names no caller, has a field that rules do not have, or a path or method that is none.",
    fix: "Correct the line that is named; policy.schema.json of countersign-origin describes all of it.",
  },
  policy_not_found: {
    side: "caller",
    status: 404,
    number: 7000647,
    title: "there is no policy of that name",
    cause: "None was set, or the name is misspelt.",
    fix: "Set one with `countersign policy set NAME FILE`.",
  },
  published_too_often: {
    side: "caller",
    status: 429,
    number: 7000648,
    title: "too many requests for what is published",
    cause:
      "CAs, revocation lists and the feed are there for everybody, and one address may ask for them 600 times, and then ten times a second.",
    fix: "Wait as long as Retry-After says, keep answers as long as Cache-Control says, or use `follow()`, which asks once and waits.",
  },
  identity_request_invalid: {
    side: "caller",
    status: 400,
    number: 7000644,
    title: "the certificate request cannot be signed",
    cause:
      "It is not a PKCS #10 request in PEM, was not signed with its own key, or its key is of a kind that is not issued.",
    fix: "Make one with `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -out client.csr -subj /CN=NAME`.",
  },
  identity_chain_invalid: {
    side: "caller",
    status: 400,
    number: 7000658,
    title: "the CA's certificates cannot be used",
    cause:
      "The root is no CA that is valid now, or what was signed elsewhere is not for the request's key, or does not lead to that root.",
    fix: "Sign the request that `countersign identity ca prepare --root` printed, with that root: `countersign identity ca sign`.",
  },
} as const;
