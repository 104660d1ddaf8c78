/** Failures of certificates that origins are shown which DNS records lead to. */
export const originPullFailures = {
  origin_pull_not_found: {
    side: "caller",
    status: 404,
    number: 7000765,
    title: "there is no such certificate for origin pulls",
    cause: "The id or the host is wrong, of another zone, or of the other level: zone or hostname.",
    fix: "List the certificates of the zone under `origin_tls_client_auth`.",
  },
  origin_pull_invalid: {
    side: "caller",
    status: 400,
    number: 7000766,
    title: "origin pulls cannot be set so",
    cause: "A host is not in the zone, or names no certificate for hostnames.",
    fix: "Upload one to `origin_tls_client_auth/hostnames/certificates`, and name its id and a host of the zone.",
  },
  origin_pull_in_use: {
    side: "caller",
    status: 409,
    number: 7000767,
    title: "a host names the certificate",
    cause: "Its origin would be shown another one, or none, from one request to the next.",
    fix: "Name another certificate for the host, or void its association with `enabled: null`, first.",
  },
} as const;
