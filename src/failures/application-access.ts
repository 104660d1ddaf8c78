/** Failures of Access: who reaches a host, and how that is set. */
export const applicationAccessFailures = {
  access_denied: {
    side: "caller",
    status: 403,
    number: 7000700,
    title: "Access does not let this request in",
    cause: "The host is behind Access, and no policy of it lets this caller in.",
    fix: "Send a service token that is in force, in CF-Access-Client-Id and CF-Access-Client-Secret, or present a client certificate that a policy names.",
  },
  access_too_many_tries: {
    side: "caller",
    status: 429,
    number: 7000701,
    title: "too many service tokens were wrong",
    cause: "Many requests with a wrong service token came from this address.",
    fix: "Wait a minute. A correct token is accepted meanwhile.",
  },
  access_not_found: {
    side: "caller",
    status: 404,
    number: 7000702,
    title: "there is no such application, policy, service token or certificate of Access",
    cause: "It was deleted, or belongs to another account.",
    fix: "List what there is: GET /client/v4/accounts/{account_id}/access/apps, …/policies, …/service_tokens, …/certificates.",
  },
  access_invalid: {
    side: "caller",
    status: 400,
    number: 7000703,
    title: "a field of the Access request is not valid",
    cause: "A domain, duration, rule or certificate is not of the form that Cloudflare documents.",
    fix: "Correct the field that is named. docs/access.md has an example of each.",
  },
  access_needs_login: {
    side: "caller",
    status: 400,
    number: 7000704,
    title: "this needs a person's login, which Countersign's Access does not support",
    cause:
      "Countersign has Access for machines: service tokens, client certificates and addresses. It signs in no people.",
    fix: "Use the decision `non_identity`, with `service_token`, `certificate`, `common_name`, `ip` or `everyone`.",
  },
  access_unsupported: {
    side: "caller",
    status: 400,
    number: 7000705,
    title: "Countersign's Access does not support this setting",
    cause: "The setting would have no effect, so it is refused.",
    fix: "Leave out the field that the message names.",
  },
  access_in_use: {
    side: "caller",
    status: 409,
    number: 7000706,
    title: "an application of Access still uses it",
    cause:
      "A policy that an application uses cannot be deleted, because the application's decisions would change unnoticed.",
    fix: "Take it out of the application's `policies` first.",
  },
} as const;
