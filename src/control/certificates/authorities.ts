import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { applyChange } from "../api/apply-change.ts";
import { listTies } from "../../store/authorities.ts";
import { listCertificates } from "../../store/certificates/certificates.ts";
import { list } from "../api/envelope.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { hostPattern } from "../../network/host-pattern.ts";
import { shownCertificate, trustOf } from "./version-shown.ts";
import { setTrustScope } from "./trust.ts";

/**
 * The trust domain must match exactly. In the path, `*` stands for characters within a segment and `**` for any
 * characters.
 */
const spiffePattern = z
  .string()
  .max(2048)
  .regex(
    /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._*-]+)*$/,
    "is no SPIFFE ID, nor a pattern of one",
  );

const scope = z.discriminatedUnion("account", [
  z.object({ account: z.literal(true) }),
  z.object({
    account: z.literal(false),
    certificates: z.array(z.string().max(64)).max(1000).default([]),
    hosts: z.array(hostPattern).max(1000).default([]),
    spiffe_ids: z.array(spiffePattern).max(100).optional(),
  }),
]);

/** Where each CA counts: for all origins of the account, for those of certain certificates, or for hosts. */
export function authorityEndpoints({ store, edge, clock }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/authorities";
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "List the CAs and where each counts",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId } }) => {
        const authorities = await listCertificates(store.db, accountId, { ca: true });
        const around = {
          ties: await listTies(store.db, accountId),
          scripts: new Map(),
          events: new Map(),
          sources: [],
        };
        const now = clock();
        return list(authorities.map((authority) => shownCertificate(authority, around, now)));
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{certificate_id}/trust`,
        summary: "Say where a CA counts",
        scope: "ssl_certs:write",
        body: scope,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        if (!body.account && body.spiffe_ids?.length && body.hosts.length === 0) {
          throw new Failure("request_invalid", {
            message: "SPIFFE IDs are of hosts: give `hosts`",
          });
        }
        const value = await applyChange({ store, edge }, async (write) => {
          const set = await setTrustScope(
            write,
            accountId,
            params["certificate_id"],
            body.account ? body : { ...body, spiffeIds: body.spiffe_ids },
            clock(),
          );
          return {
            value: set,
            audit: {
              by: actorOf(caller),
              action: "trust.scope",
              accountId,
              resource: { type: "authority", id: set.id, name: set.name },
              fingerprint: set.active.fingerprint,
              after: body,
            },
          };
        });
        return { result: { id: value.id, trust: await trustOf(store.db, value) } };
      },
    ),
  ];
}
