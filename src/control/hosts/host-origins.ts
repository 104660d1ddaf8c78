import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { hostPattern } from "../../network/host-pattern.ts";
import type { Audit } from "../../store/access/audit.ts";
import { findCertificate, listCertificates } from "../../store/certificates/certificates.ts";
import type { Database } from "../../store/database.ts";
import { deleteHostOrigin, originAtHost, putHostOrigin } from "../../store/hosts/host-origins.ts";
import type { KnownOrigin } from "../../store/certificates/origins.ts";
import type { HostOriginRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { hostOfAnother } from "../routing/host-owners.ts";
import { isHost, refuseOwnHosts } from "../routing/zones.ts";
import { unbracketed } from "../../network/unbracketed.ts";

const wanted = z.object({
  to: z.string().max(300),
  /** Id or name. Absent: unchanged. */
  certificate: z.string().max(256).optional(),
});

/** Hosts whose requests go to an origin, with a client certificate, unless a route leads to a Worker. */
export function hostOriginEndpoints({ store, edge, clock }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/hosts/{host}/origin";
  return [
    endpoint(
      { method: "get", path, summary: "The origin of a host", scope: "ssl_certs:read" },
      async ({ caller, params }) => {
        const row = await existing(store.db, caller, params["host"]);
        return { result: await withName(store.db, row) };
      },
    ),
    endpoint(
      {
        method: "put",
        path,
        summary: "Have a host's requests go to an origin, with a client certificate",
        scope: "ssl_certs:write",
        body: wanted,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        const host = parsedHost(params["host"]);
        const to = parsedUrl(body.to);
        const now = clock().toISOString();
        const row = await applyChange({ store, edge }, async ({ db, changed }) => {
          const before = await originAtHost(db, host);
          if (before === null || before.accountId !== accountId) {
            await refuseTaken(db, accountId, host);
            await assertRoom(db, accountId, "hostOrigins");
          }
          const after: HostOriginRow = {
            id: before?.id ?? randomBytes(16).toString("hex"),
            accountId,
            host,
            toHost: to.host,
            toPort: to.port,
            certificateId: await certificateOf(db, accountId, body.certificate, before),
            createdOn: before?.createdOn ?? now,
            modifiedOn: now,
          };
          await putHostOrigin(db, after);
          await changed({ kind: "hosts", accountId });
          return {
            value: after,
            audit: auditOf(caller, "host.origin", after, {
              ...(before && { before: shownOrigin(before) }),
              after: shownOrigin(after),
            }),
          };
        });
        return { result: await withName(store.db, row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path,
        summary: "A host has no origin any more",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const id = await applyChange({ store, edge }, async ({ db, changed }) => {
          const row = await existing(db, caller, params["host"]);
          await deleteHostOrigin(db, row.id);
          await changed({ kind: "hosts", accountId: caller.accountId });
          const before = shownOrigin(row);
          return { value: row.id, audit: auditOf(caller, "host.origin.delete", row, { before }) };
        });
        return { result: { id } };
      },
    ),
  ];
}

/** @throws Failure `host_origin_not_found` */
async function existing(
  db: Database,
  { accountId }: Caller,
  host: string | undefined,
): Promise<HostOriginRow> {
  const row = await originAtHost(db, parsedHost(host));
  if (row?.accountId === accountId) return row;
  throw new Failure("host_origin_not_found");
}

/** @throws Failure `host_origin_invalid`, `route_invalid` */
function parsedHost(text = ""): string {
  const { data, error } = hostPattern.safeParse(text);
  if (data === undefined || !isHost(data.replace(/^\*\./, ""))) {
    const why = error?.issues[0]?.message ?? "is not the name of a host";
    throw new Failure("host_origin_invalid", { message: `"${text.slice(0, 253)}" ${why}` });
  }
  refuseOwnHosts(data);
  return data;
}

/** @throws Failure `host_origin_invalid` */
function parsedUrl(text: string): { readonly host: string; readonly port: number } {
  const url = URL.parse(text);
  const isBare = url !== null && `${url.pathname}${url.search}${url.hash}` === "/";
  if (isBare && url.protocol === "https:" && url.username + url.password === "" && url.hostname) {
    const host = unbracketed(url.hostname).replace(/\.$/, "");
    return { host, port: Number(url.port || 443) };
  }
  throw new Failure("host_origin_invalid", {
    message: `"${text.slice(0, 300)}" is not https://HOST or https://HOST:PORT`,
  });
}

/** @throws Failure `host_origin_taken` */
async function refuseTaken(db: Database, accountId: string, host: string): Promise<void> {
  if ((await hostOfAnother(db, accountId, [host])) === null) return;
  throw new Failure("host_origin_taken", { message: `"${host}" belongs to another account` });
}

/** @throws Failure `host_origin_invalid` */
async function certificateOf(
  db: Database,
  accountId: string,
  named: string | undefined,
  before: HostOriginRow | null,
): Promise<string> {
  if (named === undefined) {
    if (before !== null) return before.certificateId;
    throw new Failure("host_origin_invalid", {
      message: "which client certificate is presented to the origin is not said",
    });
  }
  const byId = await findCertificate(db, accountId, named);
  const [byName] = byId ? [] : await listCertificates(db, accountId, { ca: false, name: named });
  const found = byId ?? byName;
  if (found?.ca === 0) return found.id;
  throw new Failure("host_origin_invalid", {
    message: `no client certificate of the account is "${named.slice(0, 256)}"`,
    fix: "List them with `countersign certificate list`.",
  });
}

function shownOrigin({ host, toHost, toPort, certificateId }: HostOriginRow): {
  readonly host: string;
  readonly to: string;
  readonly certificate: { readonly id: string };
} {
  return { host, to: urlOf(toHost, toPort), certificate: { id: certificateId } };
}

function urlOf(host: string, port: number | null): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `https://${name}${port === null || port === 443 ? "" : `:${port}`}`;
}

/** An origin, where it was configured, and which certificate is presented to it. */
export async function shownKnown(
  db: Database,
  accountId: string,
  { host, to, certificateId, from, certificateFrom }: KnownOrigin,
): Promise<object> {
  const certificate =
    certificateId === null ? null : await findCertificate(db, accountId, certificateId);
  return {
    host,
    to: to.hosts.map((one) => urlOf(one, to.port)).join(", "),
    from,
    certificate: certificateId && {
      id: certificateId,
      name: certificate?.name ?? null,
      from: certificateFrom,
    },
  };
}

async function withName(db: Database, row: HostOriginRow): Promise<object> {
  const { host, toHost, toPort, certificateId } = row;
  const to = { hosts: [toHost], port: toPort };
  const from = "host origin";
  return shownKnown(db, row.accountId, { host, to, certificateId, from, certificateFrom: from });
}

function auditOf(
  caller: Caller,
  action: "host.origin" | "host.origin.delete",
  { id, accountId, host }: HostOriginRow,
  change: Pick<Audit, "before" | "after">,
): Audit {
  return {
    by: actorOf(caller),
    action,
    accountId,
    resource: { type: "host_origin", id, name: host },
    ...change,
  };
}
