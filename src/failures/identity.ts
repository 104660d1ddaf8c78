/** Failures of the identities that Countersign issues to Workers. */
export const identityFailures = {
  identity_revoked: {
    side: "caller",
    status: 520,
    number: 7000640,
    title: "the Worker's identity was revoked",
    cause: "Somebody revoked it. A new deploy does not bring an identity back.",
    fix: "If the Worker may have an identity again: `countersign identity restore WORKER`.",
  },
  identity_deleted: {
    side: "caller",
    status: 520,
    number: 7000649,
    title: "the identity of this name belonged to a Worker that was deleted",
    cause:
      "A new Worker has the name now. Origins would allow it everything that they allowed the deleted Worker.",
    fix: "If the new Worker may have the identity: `countersign identity restore WORKER`.",
  },
  identity_missing: {
    side: "platform",
    status: 520,
    number: 7000641,
    title: "the Worker has no identity yet",
    cause: "The control plane was not reachable, or refused to issue it. The gateway asks again.",
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
    cause: "A CA is prepared, then trusted by all origins, then activated, and then retired.",
    fix: "See the step of each CA with `countersign identity ca show`.",
  },
  policy_invalid: {
    side: "caller",
    status: 400,
    number: 7000646,
    title: "the policy cannot be used",
    cause:
      "A rule names no caller, or has an unknown field, or a path or method that is not valid.",
    fix: "Correct the line that the message names. policy.schema.json of countersign-origin describes the format.",
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
    title: "too many requests for CAs, revocation lists or the feed",
    cause:
      "Everybody may read these without a token. One address may send 600 requests at once, and then ten each second.",
    fix: "Wait as long as Retry-After says, cache answers as long as Cache-Control says, or use `follow()`, which needs one request at a time.",
  },
  identity_request_invalid: {
    side: "caller",
    status: 400,
    number: 7000644,
    title: "the certificate request cannot be signed",
    cause:
      "It is not a PKCS #10 request in PEM, was not signed with its own key, or the account's CA issues no certificate for this kind of key.",
    fix: "Make one with `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -out client.csr -subj /CN=NAME`.",
  },
  identity_chain_invalid: {
    side: "caller",
    status: 400,
    number: 7000658,
    title: "the CA's certificates cannot be used",
    cause:
      "The root is not a CA that is valid now, or the signed certificate is not for the request's key or does not lead to that root.",
    fix: "Sign the request that `countersign identity ca prepare --root` printed, with that root: `countersign identity ca sign`.",
  },
} as const;
