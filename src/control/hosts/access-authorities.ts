import { z } from "@hono/zod-openapi";
import { createHash, randomUUID, X509Certificate } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { hostOfAnother } from "../routing/host-owners.ts";
import { isHost } from "../routing/zones.ts";
import { deleteAccess, listAccess, putAccess } from "../../store/access/access.ts";
import type { Database } from "../../store/database.ts";
import type { AccessAuthorityRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { changeAccess, existingAccess } from "./access-change.ts";

const hosts = z.array(z.string().toLowerCase().refine(isHost, "is not a host")).max(100);
const creation = z.object({
  name: z.string().min(1).max(255),
  certificate: z.string().max(65_536),
  associated_hostnames: hosts.optional(),
});
const change = z.object({
  name: z.string().min(1).max(255).optional(),
  // A body without this field removes all hosts: Terraform's provider sends one before it deletes a CA.
  associated_hostnames: hosts.default([]),
});
/** CAs for each account. */
const MOST = 50;

/** CAs whose client certificates policies may ask for, each at the hosts that it names. */
export function accessAuthorityEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/access/certificates";
  const [read, write] = ["ssl_certs:read", "ssl_certs:write"] as const;
  return [
    endpoint({ method: "get", path, summary: "CAs of clients", scope: read }, async ({ caller }) =>
      list((await listAccess(store.db, "accessAuthorities", caller.accountId)).map(shown)),
    ),
    endpoint(
      { method: "post", path, summary: "Add a CA of clients", scope: write, body: creation },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const now = clock().toISOString();
        const row: AccessAuthorityRow = {
          id: randomUUID(),
          accountId,
          name: body.name,
          ...readAuthority(body.certificate),
          hosts: body.associated_hostnames ?? [],
          createdOn: now,
          updatedOn: now,
        };
        await changeAccess(context, caller, async ({ db }) => {
          await refuseOthersHosts(db, accountId, body.associated_hostnames ?? []);
          const others = await listAccess(db, "accessAuthorities", accountId);
          if (others.length >= MOST) {
            throw new Failure("access_invalid", {
              message: `the account has ${MOST} CAs of clients`,
            });
          }
          if (others.some(({ fingerprint }) => fingerprint === row.fingerprint)) {
            throw new Failure("access_invalid", { message: "the account has this CA already" });
          }
          await putAccess(db, "accessAuthorities", row);
          const resource = resourceOf(row);
          return { value: row, action: "access.authority_create", resource, after: shown(row) };
        });
        return { status: 201, result: shown(row) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{certificate_id}`,
        summary: "One CA of clients",
        scope: read,
      },
      async ({ caller, params }) => ({
        result: shown(
          await existingAccess(store.db, "accessAuthorities", caller, params["certificate_id"]),
        ),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{certificate_id}`,
        summary: "Say at which hosts a CA counts",
        scope: write,
        body: change,
      },
      async ({ caller, params, body }) => {
        const row = await changeAccess(context, caller, async ({ db }) => {
          const id = params["certificate_id"];
          const before = await existingAccess(db, "accessAuthorities", caller, id);
          await refuseOthersHosts(db, caller.accountId, body.associated_hostnames);
          const after: AccessAuthorityRow = {
            ...before,
            name: body.name ?? before.name,
            hosts: body.associated_hostnames,
            updatedOn: clock().toISOString(),
          };
          await putAccess(db, "accessAuthorities", after);
          return {
            value: after,
            action: "access.authority_update",
            resource: resourceOf(after),
            before: shown(before),
            after: shown(after),
          };
        });
        return { result: shown(row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{certificate_id}`,
        summary: "Trust a CA of clients no longer",
        scope: write,
      },
      async ({ caller, params }) => {
        const id = await changeAccess(context, caller, async ({ db }) => {
          const wanted = params["certificate_id"];
          const before = await existingAccess(db, "accessAuthorities", caller, wanted);
          await deleteAccess(db, "accessAuthorities", before);
          return {
            value: before.id,
            action: "access.authority_delete",
            resource: resourceOf(before),
            before: shown(before),
          };
        });
        return { result: { id } };
      },
    ),
  ];
}

/**
 * The ingress asks clients of these hosts for certificates, so the hosts must not belong to another account.
 * @throws Failure `access_invalid`
 */
async function refuseOthersHosts(
  db: Database,
  accountId: string,
  names: readonly string[],
): Promise<void> {
  const taken = await hostOfAnother(db, accountId, names);
  if (taken === null) return;
  throw new Failure("access_invalid", { message: `"${taken}" belongs to another account` });
}

/** @throws Failure `access_invalid` */
function readAuthority(
  pem: string,
): Pick<AccessAuthorityRow, "certificate" | "fingerprint" | "expiresOn"> {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  let certificate: X509Certificate | null = null;
  try {
    const [block] = blocks;
    if (block && blocks.length === 1) certificate = new X509Certificate(block);
  } catch {
    // Refused below, like other text that is not a certificate.
  }
  if (certificate?.ca !== true) {
    throw new Failure("access_invalid", {
      message: "the certificate is not one CA certificate in PEM",
    });
  }
  return {
    certificate: certificate.toString(),
    fingerprint: createHash("sha256").update(certificate.raw).digest("hex"),
    expiresOn: certificate.validToDate.toISOString(),
  };
}

function resourceOf({ id, name }: AccessAuthorityRow): { type: string; id: string; name: string } {
  return { type: "access_certificate", id, name };
}

function shown(row: AccessAuthorityRow): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    fingerprint: row.fingerprint,
    associated_hostnames: row.hosts,
    expires_on: row.expiresOn,
    created_at: row.createdOn,
    updated_at: row.updatedOn,
  };
}
