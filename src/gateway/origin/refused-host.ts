import { Failure } from "../../failures/failures.ts";
import { matchesHost } from "../../network/patterns.ts";
import type { Credential } from "../../certificates/credential.ts";

/**
 * Refuses hosts to which a certificate may not be presented.
 * @throws Failure `origin_zone_proxied`, `origin_host_not_allowed`
 */
export function refuseHost(
  { certificateId, allowedHosts }: Pick<Credential, "certificateId" | "allowedHosts">,
  proxied: readonly string[],
  host: string,
): void {
  if (matchesHost(proxied, host)) {
    throw new Failure("origin_zone_proxied", {
      message: `"${host}" is in a proxied zone, and client certificates are not presented there`,
      facts: { host, certificateId },
    });
  }
  if (allowedHosts !== null && !matchesHost(allowedHosts, host)) {
    throw new Failure("origin_host_not_allowed", {
      message: `certificate ${certificateId} may be presented to ${allowedHosts.join(", ") || "no host"}, and not to "${host}"`,
      facts: { host, certificateId, allowedHosts },
    });
  }
}
