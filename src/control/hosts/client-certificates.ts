import { z } from "@hono/zod-openapi";
import { randomUUID, X509Certificate } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { readDer } from "../../certificates/der-tree.ts";
import { extensionOf, upperHex } from "../../certificates/distinguished-name.ts";
import type { Identities } from "../../identity/identities.ts";
import { readRequest } from "../../identity/authority.ts";
import { issueClient } from "../../identity/issue.ts";
import {
  insertClientCertificate,
  listClientCertificates,
  findClientCertificate,
  setClientRevoked,
} from "../../store/hosts/host-clients.ts";
import { insertIssued } from "../../store/identities.ts";
import type { ClientCertificateRow } from "../../store/schema.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { type Answer, list, pageInfo, paging } from "../api/envelope.ts";
import { refuseRequest } from "../identity/issued.ts";

const creation = z.object({
  csr: z.string().max(16_384),
  validity_days: z.number().int().min(1).max(5475),
});
/** Elements, as on Cloudflare: each certificate is read to be shown. */
const PAGE = 50;
const filter = paging.extend({
  status: z
    .enum(["all", "active", "pending_reactivation", "pending_revocation", "revoked"])
    .optional(),
});
const edit = z.object({ reactivate: z.boolean().optional() }).loose().optional();

/** Certificates that the account's own CA issues to clients, as Cloudflare's API Shield does. */
export function clientCertificateEndpoints(
  { store, edge, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/zones/{zone_id}/client_certificates";
  const one = `${path}/{client_certificate_id}`;

  const existing = async (
    { accountId }: Caller,
    params: Readonly<Record<string, string>>,
  ): Promise<ClientCertificateRow> => {
    const id = params["client_certificate_id"] ?? "";
    const row = await findClientCertificate(store.db, { accountId, zoneId: zoneIn(params) }, id);
    if (row) return row;
    throw new Failure("client_certificate_unknown", {
      message: `no client certificate of this zone is "${id}"`,
    });
  };

  const change = async (
    caller: Caller,
    row: ClientCertificateRow,
    revokedOn: string | null,
  ): Promise<Answer> => {
    const { accountId } = caller;
    const { cursor } = await store.write(async ({ db, changed }) => {
      await setClientRevoked(db, row, revokedOn);
      await changed({ kind: "identities", accountId });
      await changed({ kind: "hosts", accountId });
      return {
        value: null,
        audit: {
          by: actorOf(caller),
          action: revokedOn === null ? "client.restore" : "client.revoke",
          accountId,
          resource: { type: "client_certificate", id: row.id },
          fingerprint: row.fingerprint,
          after: { revoked_on: revokedOn },
        },
      };
    });
    await edge.applied(cursor);
    return { result: shown({ ...row, revokedOn }) };
  };

  return [
    endpoint(
      {
        method: "post",
        path,
        summary: "Issue a client certificate",
        scope: "ssl_certs:write",
        body: creation,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        // What is refused makes no CA.
        await readRequest(body.csr).catch(refuseRequest);
        const authority = await identities.authority(accountId);
        const now = clock();
        const issued = await issueClient(identities.signer(authority), {
          csr: body.csr,
          account: accountId,
          now,
          days: body.validity_days,
        }).catch(refuseRequest);
        const leaf = new X509Certificate(issued.chain);
        const row: ClientCertificateRow = {
          id: randomUUID(),
          accountId,
          zoneId: params["zone_id"] ?? "",
          authorityId: authority.id,
          csr: body.csr,
          certificate: leaf.toString(),
          serial: issued.serialNumber,
          fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
          validityDays: body.validity_days,
          issuedOn: now.toISOString(),
          notAfter: issued.notAfter.toISOString(),
          revokedOn: null,
        };
        await store.write(async ({ db }) => {
          await assertRoom(db, accountId, "clientCertificates");
          await insertClientCertificate(db, row);
          await insertIssued(db, {
            serial: row.serial,
            accountId,
            authorityId: authority.id,
            scriptName: null,
            spiffeId: null,
            issuedOn: row.issuedOn,
            notAfter: row.notAfter,
            revokedOn: null,
          });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "client.issue",
              accountId,
              resource: { type: "client_certificate", id: row.id },
              fingerprint: row.fingerprint,
              after: { serial_number: row.serial, expires_on: row.notAfter },
            },
          };
        });
        return { result: shown(row) };
      },
    ),
    endpoint(
      {
        method: "get",
        path,
        summary: "List client certificates",
        scope: "ssl_certs:read",
        query: filter,
      },
      async ({ caller: { accountId }, params, query }) => {
        const { status = "all", page = 1, per_page: perPage = PAGE } = query;
        if (status !== "all" && status !== "active" && status !== "revoked") return list([]);
        const { rows, total } = await listClientCertificates(
          store.db,
          { accountId, zoneId: zoneIn(params) },
          { status, limit: perPage, offset: (page - 1) * perPage },
        );
        return {
          result: rows.map(shown),
          resultInfo: pageInfo({ page, perPage, count: rows.length, total }),
        };
      },
    ),
    endpoint(
      { method: "get", path: one, summary: "One client certificate", scope: "ssl_certs:read" },
      async ({ caller, params }) => ({ result: shown(await existing(caller, params)) }),
    ),
    endpoint(
      {
        method: "patch",
        path: one,
        summary: "Take a client certificate's revocation back",
        scope: "ssl_certs:write",
        body: edit,
      },
      async ({ caller, params, body }) => {
        const row = await existing(caller, params);
        if (body?.reactivate === false) return { result: shown(row) };
        return change(caller, row, null);
      },
    ),
    endpoint(
      {
        method: "delete",
        path: one,
        summary: "Revoke a client certificate",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const row = await existing(caller, params);
        return change(caller, row, row.revokedOn ?? clock().toISOString());
      },
    ),
  ];
}

function zoneIn(params: Readonly<Record<string, string>>): string {
  return params["zone_id"] ?? "";
}

function statusOf({ revokedOn }: ClientCertificateRow): "active" | "revoked" {
  return revokedOn === null ? "active" : "revoked";
}

function shown(row: ClientCertificateRow): object {
  const x509 = new X509Certificate(row.certificate);
  const parts = new Map(
    (x509.subject ?? "").split("\n").map((line) => {
      const [name = "", ...value] = line.split("=");
      return [name, value.join("=")] as const;
    }),
  );
  const part = (name: string): string => parts.get(name) ?? "";
  return {
    id: row.id,
    certificate: row.certificate,
    certificate_authority: { id: row.authorityId, name: "Countersign managed CA" },
    common_name: part("CN"),
    country: part("C"),
    state: part("ST"),
    location: part("L"),
    organization: part("O"),
    organizational_unit: part("OU"),
    csr: row.csr,
    expires_on: row.notAfter,
    issued_on: row.issuedOn,
    fingerprint_sha256: row.fingerprint,
    serial_number: row.serial,
    signature: "ECDSAWithSHA256",
    ski: keyIdentifierOf(x509.raw),
    status: statusOf(row),
    validity_days: row.validityDays,
  };
}

function keyIdentifierOf(der: Uint8Array): string {
  const [tbs] = readDer(der)?.children ?? [];
  const value = tbs && extensionOf(tbs, "2.5.29.14");
  return value ? upperHex(value.content) : "";
}
