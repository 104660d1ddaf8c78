import { z } from "@hono/zod-openapi";
import { hostPattern } from "../../network/host-pattern.ts";
import { Failure } from "../../failures/failures.ts";
import { Throttle } from "../../network/throttle.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { oneLine } from "../api/text.ts";
import { CHALLENGES } from "./acme-order.ts";
import { takeByAcme } from "./acme-taking.ts";
import { shownHostCertificate } from "./custom-certificates.ts";

const wish = z.object({
  directory: z
    .url({ protocol: /^https$/ })
    .max(2000)
    .optional(),
  email: z.email().max(254).optional(),
  accept_terms: z.boolean().default(false),
  challenge: z.enum(CHALLENGES).optional(),
  /**
   * The account with the server's operator (External Account Binding). Some servers open no ACME account without it.
   */
  external_account: z
    .strictObject({
      kid: oneLine.min(1).max(1_000),
      /** base64url. */
      hmac_key: z.string().min(1).max(4_000),
    })
    .optional(),
  /** CAs (PEM) that the directory's server is verified against, instead of the public ones. */
  authority: z.string().max(100_000).optional(),
});

/** Orders that callers of one account begin. Each sends requests to a server elsewhere, which has limits too. */
const BEGUN = { burst: 20, everyMs: 6_000 };

/** Certificates for a host that an ACME server issues, and that are renewed automatically. */
export function acmeEndpoints(context: ControlContext): readonly Endpoint[] {
  const begun = new Throttle(BEGUN);
  return [
    endpoint(
      {
        method: "put",
        path: "/accounts/{account_id}/countersign/hosts/{host}/acme",
        summary: "Order what a host presents from an ACME server, and renew it there",
        scope: "ssl_certs:write",
        body: wish,
        holdsSecrets: true,
      },
      async ({ caller, params, body, texts }) => {
        const { data: host, error } = hostPattern.safeParse(params["host"] ?? "");
        if (host === undefined) {
          throw new Failure("acme_host_unfit", { message: error.issues[0]?.message ?? "no host" });
        }
        begun.assertFree(caller.accountId);
        begun.count(caller.accountId);
        const target = { accountId: caller.accountId, host, by: actorOf(caller) };
        const external = body.external_account ?? null;
        const row = await takeByAcme(context, target, {
          directory: body.directory ?? null,
          email: body.email ?? null,
          authority: body.authority ?? null,
          acceptsTerms: body.accept_terms,
          challenge: body.challenge ?? null,
          external: external && {
            kid: external.kid,
            seal: (place) => texts.seal(context.keyring, place, external.hmac_key),
          },
        });
        return { result: shownHostCertificate(row) };
      },
    ),
  ];
}
