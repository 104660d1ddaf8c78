import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import {
  deleteClientRevocation,
  insertClientRevocation,
  listClientRevocations,
} from "../../store/hosts/host-clients.ts";
import type { ClientRevocationRow } from "../../store/schema.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";

const hex = z
  .string()
  .max(200)
  .transform((text) => text.replaceAll(":", ""));
const revocation = z
  .object({
    serial_number: hex.pipe(z.string().regex(/^[0-9a-f]{1,64}$/i, "is not hexadecimal")).optional(),
    issuer: z.string().max(1000).optional(),
    fingerprint_sha256: hex
      .pipe(z.string().regex(/^[0-9a-f]{64}$/i, "is not a SHA-256 in hexadecimal"))
      .optional(),
  })
  .refine(
    (one) => (one.serial_number === undefined) !== (one.fingerprint_sha256 === undefined),
    "needs `serial_number` or `fingerprint_sha256`, one of them",
  );

/** Certificates of clients, or of intermediate CAs, that all hosts of the account refuse. */
export function clientRevocationEndpoints({
  store,
  edge,
  clock,
}: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/client_revocations";
  return [
    endpoint(
      { method: "get", path, summary: "Revoked client certificates", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) =>
        list((await listClientRevocations(store.db, accountId)).map(shown)),
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Refuse a client certificate from now on",
        scope: "ssl_certs:write",
        body: revocation,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const row: ClientRevocationRow = {
          id: randomUUID(),
          accountId,
          serial: evenDigits(body.serial_number),
          issuer: body.issuer ?? null,
          fingerprint: body.fingerprint_sha256?.toLowerCase() ?? null,
          createdOn: clock().toISOString(),
        };
        const { cursor } = await store.write(async ({ db, changed }) => {
          if ((await listClientRevocations(db, accountId)).length >= MOST) {
            throw new Failure("client_rules_invalid", {
              message: `an account has ${MOST} revocations at most`,
              fix: "Take those back whose certificates have expired.",
            });
          }
          await insertClientRevocation(db, row);
          await changed({ kind: "hosts", accountId });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "client.revoke",
              accountId,
              resource: { type: "client_revocation", id: row.id },
              after: shown(row),
            },
          };
        });
        await edge.applied(cursor);
        return { result: shown(row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{revocation_id}`,
        summary: "Take a revocation back",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const id = params["revocation_id"] ?? "";
        const { cursor } = await store.write(async ({ db, changed }) => {
          if (!(await deleteClientRevocation(db, accountId, id))) {
            throw new Failure("client_certificate_unknown", {
              message: `no revocation is "${id}"`,
            });
          }
          await changed({ kind: "hosts", accountId });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "client.restore",
              accountId,
              resource: { type: "client_revocation", id },
            },
          };
        });
        await edge.applied(cursor);
        return { result: { id } };
      },
    ),
  ];
}

/** The whole list is sent to every edge when one entry changes, so it is bounded. */
const MOST = 10_000;

/** As OpenSSL writes it, with an even number of digits. */
function evenDigits(serial: string | undefined): string | null {
  if (serial === undefined) return null;
  const digits = serial.toUpperCase().replace(/^0+(?=.)/, "");
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

function shown({
  id,
  serial,
  issuer,
  fingerprint,
  createdOn,
}: ClientRevocationRow): Record<string, unknown> {
  return {
    id,
    serial_number: serial,
    issuer,
    fingerprint_sha256: fingerprint,
    created_on: createdOn,
  };
}
