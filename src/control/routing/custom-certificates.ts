import { z } from "@hono/zod-openapi";
import { randomUUID, X509Certificate } from "node:crypto";
import { applyChange } from "../api/apply-change.ts";
import type { HeldUpload } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import type { Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import {
  deleteHostCertificate,
  findHostCertificate,
  hostsOf,
  listHostCertificates,
} from "../../store/hosts/host-certificates.ts";
import { listRoutes } from "../../store/workers/routes.ts";
import type { HostCertificateRow } from "../../store/schema.ts";
import type { Write } from "../../store/store.ts";
import { listZones } from "../../store/hosts/zones.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { pem } from "../api/bounds.ts";
import { endpoint, type Endpoint, keyEndpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import {
  firstRow,
  type FreshCertificate,
  freshOf,
  hostAudit,
  presentAt,
  uploaded,
  putForHosts,
} from "./host-certificate-taking.ts";
import { hostOf, type Zone, zoneNamed, zonesOf } from "./zones.ts";

const method = z.enum(["ubiquitous", "optimal", "force"]);
const upload = z.object({
  certificate: pem,
  private_key: pem,
  bundle_method: method.default("ubiquitous"),
});
const renewal = upload.partial();
const pairBody = upload.omit({ bundle_method: true });

/** The server certificates of a zone's hosts, in the form that Cloudflare's SDK and Terraform use. */
export function customCertificateEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/zones/{zone_id}/custom_certificates";
  const one = `${path}/{certificate_id}`;
  const change = async <T>(
    caller: Caller,
    work: (write: Write) => Promise<{ readonly value: T; readonly audit: Audit }>,
  ): Promise<T> => {
    const value = await applyChange({ store, edge }, async (write) => {
      const done = await work(write);
      await write.changed({ kind: "hosts", accountId: caller.accountId });
      return done;
    });
    return value;
  };
  /** @throws Failure as for any upload of a certificate */
  const read = async (
    zone: Zone,
    accountId: string,
    id: string,
    held: HeldUpload,
  ): Promise<FreshCertificate> => {
    const judged = await held.judge({ ca: false, now: clock() });
    return freshOf(context, { zone, accountId, id }, judged);
  };
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "The server certificates of a zone's hosts",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listHostCertificates(store.db, accountId, zone.name);
        return list(rows.map((row) => shownHostCertificate(row)));
      },
    ),
    keyEndpoint(
      { method: "post", path, summary: "Upload one", scope: "ssl_certs:write", body: upload },
      async ({ caller, params, body, upload: held }) => {
        const { accountId } = caller;
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const id = randomUUID();
        const fresh = await read(zone, accountId, id, held);
        const row = await change(caller, async (write) => {
          await existingZone(write.db, accountId, zone.id);
          const { bundle_method: bundleMethod } = body;
          return putForHosts(write, actorOf(caller), {
            ...firstRow({ id, accountId, zone }, fresh),
            bundleMethod,
          });
        });
        return { result: shownHostCertificate(row) };
      },
    ),
    keyEndpoint(
      {
        method: "put",
        path: "/accounts/{account_id}/countersign/hosts/{host}/certificate",
        summary: "Upload what a host presents, or renew it",
        scope: "ssl_certs:write",
        body: pairBody,
      },
      async ({ caller, params, upload: held }) => {
        const host = params["host"]?.toLowerCase() ?? "";
        const target = { accountId: caller.accountId, host, by: actorOf(caller) };
        const judged = await held.judge({ ca: false, now: clock() });
        // With an upload, a folder is no longer followed.
        const row = await presentAt(context, target, judged, { source: "upload", folder: null });
        return { result: shownHostCertificate(row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: "/accounts/{account_id}/countersign/hosts/{host}/certificate",
        summary: "A host presents what was uploaded for it no more",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const id = await change(caller, async ({ db }) => {
          const host = params["host"]?.toLowerCase() ?? "";
          const all = await listHostCertificates(db, caller.accountId);
          const found = all.find((row) => hostsOf(row).includes(host));
          if (found === undefined) throw new Failure("host_certificate_not_found");
          await deleteHostCertificate(db, found.id);
          return {
            value: found.id,
            audit: hostAudit(actorOf(caller), "host.certificate.delete", found),
          };
        });
        return { result: { id } };
      },
    ),
    endpoint(
      { method: "get", path: one, summary: "One of them", scope: "ssl_certs:read" },
      async ({ caller, params }) => ({
        result: shownHostCertificate(await existing(store.db, caller, params)),
      }),
    ),
    keyEndpoint(
      { method: "patch", path: one, summary: "Renew one", scope: "ssl_certs:write", body: renewal },
      async ({ caller, params, body, upload: held }) => {
        const { certificate, private_key, bundle_method: bundleMethod } = body;
        if ((certificate === undefined) !== (private_key === undefined)) {
          throw new Failure("request_invalid", {
            message: "a certificate and its private key are replaced together",
          });
        }
        const { id, zone } = await existing(store.db, caller, params);
        const { accountId } = caller;
        const fresh =
          certificate === undefined
            ? {}
            : {
                ...(await read(zoneNamed(accountId, zone), accountId, id, held)),
                ...uploaded,
              };
        const row = await change(caller, async (write) => {
          const before = await existing(write.db, caller, params);
          return putForHosts(write, actorOf(caller), {
            ...before,
            ...fresh,
            ...(bundleMethod && { bundleMethod }),
          });
        });
        return { result: shownHostCertificate(row) };
      },
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete one", scope: "ssl_certs:write" },
      async ({ caller, params }) => {
        const id = await change(caller, async ({ db }) => {
          const row = await existing(db, caller, params);
          await deleteHostCertificate(db, row.id);
          return {
            value: row.id,
            audit: hostAudit(actorOf(caller), "host.certificate.delete", row),
          };
        });
        return { result: { id } };
      },
    ),
  ];
}

/** A zone that was created, or that follows from a route. @throws Failure `zone_not_found` */
export async function existingZone(
  db: Database,
  accountId: string,
  id: string | undefined,
): Promise<Zone> {
  const made = (await listZones(db, accountId)).find((zone) => zone.id === id);
  if (made !== undefined) return made;
  const routes = await listRoutes(db, accountId);
  const derived = routes
    .flatMap(({ pattern }) => zonesOf(accountId, hostOf(pattern)))
    .find((zone) => zone.id === id);
  if (derived !== undefined) return derived;
  throw new Failure("zone_not_found");
}

async function existing(
  db: Database,
  { accountId }: Caller,
  params: Readonly<Record<string, string>>,
): Promise<HostCertificateRow> {
  const row = await findHostCertificate(db, accountId, params["certificate_id"] ?? "");
  if (row !== null && zoneNamed(accountId, row.zone).id === params["zone_id"]) return row;
  throw new Failure("host_certificate_not_found");
}

export function shownHostCertificate(row: HostCertificateRow): object {
  const leaf = new X509Certificate(row.chain);
  return {
    id: row.id,
    zone_id: zoneNamed(row.accountId, row.zone).id,
    hosts: hostsOf(row),
    issuer: /^O=(.*)$/m.exec(leaf.issuer ?? "")?.[1] ?? "",
    signature: leaf.publicKey.asymmetricKeyType === "rsa" ? "SHA256WithRSA" : "ECDSAWithSHA256",
    status: "active",
    bundle_method: row.bundleMethod,
    priority: row.priority,
    uploaded_on: row.uploadedOn,
    modified_on: row.modifiedOn,
    expires_on: row.notAfter,
  };
}
