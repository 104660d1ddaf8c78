import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Identities } from "../../identity/identities.ts";
import { assertPersonRequest, issuePerson } from "../../identity/issue.ts";
import { insertIssued, revokeSerial } from "../../store/identities.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";

const creation = z.object({
  csr: z.string().max(16_384),
  validity_days: z.number().int().min(1).max(365).default(30),
});

/** Identities of people and machines that are not Workers, issued for their own requests. */
export function issuedEndpoints(
  { store, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/identity/certificates";
  return [
    endpoint(
      {
        method: "post",
        path,
        summary: "Issue an identity to a person or a machine",
        scope: "ssl_certs:write",
        body: creation,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        // What is refused makes no CA.
        await assertPersonRequest(body.csr).catch(refuseRequest);
        const authority = await identities.authority(accountId);
        const now = clock();
        const issued = await issuePerson(identities.signer(authority), {
          csr: body.csr,
          account: accountId,
          trustDomain: identities.trustDomain,
          now,
          days: body.validity_days,
        }).catch(refuseRequest);
        const serial = issued.serialNumber;
        const notAfter = issued.notAfter.toISOString();
        await store.write(async ({ db }) => {
          await insertIssued(db, {
            serial,
            accountId,
            authorityId: authority.id,
            scriptName: null,
            spiffeId: issued.spiffeId,
            issuedOn: now.toISOString(),
            notAfter,
            revokedOn: null,
          });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "identity.issue",
              accountId,
              resource: { type: "identity", id: issued.spiffeId },
              after: { serial_number: serial, expires_on: notAfter },
            },
          };
        });
        const { chain, spiffeId } = issued;
        return {
          result: {
            certificate: chain,
            serial_number: serial,
            spiffe_id: spiffeId,
            expires_on: notAfter,
          },
        };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/{serial_number}/revoke`,
        summary: "Take such an identity away",
        scope: "ssl_certs:write",
        body: z.object({}).loose().optional(),
      },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const serial = (params["serial_number"] ?? "").replaceAll(":", "").toUpperCase();
        const { value } = await store.write(async ({ db, changed }) => {
          const revokedOn = clock().toISOString();
          const row = await revokeSerial(db, { accountId, serial, revokedOn });
          if (row === undefined) {
            throw new Failure("identity_not_found", {
              message: `nothing with the serial number "${serial.slice(0, 64)}" was issued`,
              fix: "Look at the certificate: `openssl x509 -noout -serial -in FILE`.",
            });
          }
          await changed({ kind: "identities", accountId });
          return {
            value: row,
            audit: {
              by: actorOf(caller),
              action: "identity.revoke",
              accountId,
              resource: { type: "identity", id: serial },
              after: { revoked_on: row.revokedOn },
            },
          };
        });
        return { result: { serial_number: serial, revoked_on: value.revokedOn } };
      },
    ),
  ];
}

/** @throws Failure `identity_request_invalid` for what is wrong with a request for a certificate */
export function refuseRequest(error: unknown): never {
  if (!(error instanceof TypeError)) throw error;
  throw new Failure("identity_request_invalid", { message: error.message });
}
