import {
  Authorizer,
  isRefusal,
  refusalBody,
  type AuthorizerOptions,
  type PolicySource,
  type Proof,
} from "../authorizer.ts";
import { callerFacts, type Caller, type CallerCertificate } from "../caller.ts";

/** `request.cf.tlsClientAuth`, as Cloudflare and the ingress of Countersign fill it. */
export interface TlsClientAuth {
  readonly certPresented: string;
  readonly certVerified: string;
  readonly certRevoked: string;
  readonly certSubjectDNRFC2253: string;
  readonly certIssuerDNRFC2253: string;
  readonly certSerial: string;
  readonly certFingerprintSHA256: string;
  readonly certNotBefore: string;
  readonly certNotAfter: string;
  /** The certificate's URI names. Countersign's ingress adds them; on Cloudflare the field is absent. */
  readonly certSANURIs?: readonly string[];
}

/** The caller of a Worker, as the ingress verified it. Never throws. */
export function proveRequest(request: Request): Proof {
  const tls = (request as { readonly cf?: { readonly tlsClientAuth?: TlsClientAuth } }).cf
    ?.tlsClientAuth;
  if (tls?.certPresented !== "1") return "certificate_missing";
  if (tls.certRevoked === "1") return "certificate_revoked";
  if (tls.certVerified.includes("expired")) return "certificate_expired";
  if (tls.certVerified.includes("not yet valid")) return "certificate_not_yet_valid";
  if (tls.certVerified !== "SUCCESS") return "certificate_untrusted";
  return callerFacts(certificateOf(tls));
}

function certificateOf(tls: TlsClientAuth): CallerCertificate {
  return {
    subject: tls.certSubjectDNRFC2253,
    issuer: tls.certIssuerDNRFC2253,
    serialNumber: tls.certSerial,
    fingerprint: tls.certFingerprintSHA256.toLowerCase(),
    uris: tls.certSANURIs ?? [],
    notBefore: date(tls.certNotBefore),
    notAfter: date(tls.certNotAfter),
  };
}

function date(text: string): Date | null {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : new Date(time);
}

/**
 * Wraps a Worker's `fetch`: `export default { fetch: authorize(policy)((request, env, ctx, caller) => …) }`.
 * @throws PolicyError
 */
export function authorize(
  policy: PolicySource,
  options: AuthorizerOptions = {},
): <E, C>(
  handle: (
    request: Request,
    env: E,
    context: C,
    caller: Caller | null,
  ) => Response | Promise<Response>,
) => (request: Request, env: E, context: C) => Response | Promise<Response> {
  const authorizer = new Authorizer(policy, options);
  return (handle) => (request, env, context) => {
    const judged = authorizer.judge(proveRequest(request), {
      method: request.method,
      path: request.url,
    });
    return isRefusal(judged) ? refusalResponse(judged) : handle(request, env, context, judged);
  };
}

export function refusalResponse(
  refusal: Parameters<typeof refusalBody>[0] & { readonly status: number },
): Response {
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(refusalBody(refusal), { status: refusal.status, headers });
}
