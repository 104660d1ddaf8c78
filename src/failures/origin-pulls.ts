/** Failures of certificates that origins are shown which DNS records lead to. */
export const originPullFailures = {
  origin_pull_not_found: {
    side: "caller",
    status: 404,
    number: 7000765,
    title: "there is no such certificate for origin pulls",
    cause:
      "The id or the host is wrong, or belongs to another zone, or to the other level (zone or hostname).",
    fix: "List the certificates of the zone under `origin_tls_client_auth`.",
  },
  origin_pull_invalid: {
    side: "caller",
    status: 400,
    number: 7000766,
    title: "the settings of origin pulls are not valid",
    cause:
      "A host is not in the zone, or it names a certificate that was not uploaded for hostnames.",
    fix: "Upload one to `origin_tls_client_auth/hostnames/certificates`, and name its id and a host of the zone.",
  },
  origin_pull_in_use: {
    side: "caller",
    status: 409,
    number: 7000767,
    title: "a host names the certificate",
    cause: "Its origin would suddenly get another certificate, or none.",
    fix: "First name another certificate for the host, or remove its association with `enabled: null`.",
  },
} as const;
