import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import type { HeldUpload } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import type { Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import {
  deletePullCertificate,
  insertPullCertificate,
  listPullCertificates,
  listPullHosts,
  listPullZones,
  type PullLevel,
  pullKeyPlace,
  putPullZone,
} from "../../store/hosts/origin-pulls.ts";
import type { OriginPullCertificateRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import { pem } from "../api/bounds.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, keyEndpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { existingZone } from "./custom-certificates.ts";
import { originPullHostEndpoints } from "./origin-pull-hosts.ts";
import { shownPull } from "./origin-pull-shown.ts";

const upload = z.object({ certificate: pem, private_key: pem });
const setting = z.object({ enabled: z.boolean() });

const PATH = "/zones/{zone_id}/origin_tls_client_auth";

/**
 * The certificates that the origins of a zone's hosts are shown (Authenticated Origin Pulls), in the form that
 * Cloudflare's SDK and Terraform use.
 */
export function originPullEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge } = context;
  const settings = `${PATH}/settings`;
  const isOn = async (accountId: string, zone: string): Promise<boolean> =>
    (await listPullZones(store.db, accountId)).some(
      (row) => row.zone === zone && row.enabled === 1,
    );
  // Fixed path segments come before ids, because the first match counts.
  return [
    ...certificateEndpoints(context, `${PATH}/hostnames/certificates`, "hostname"),
    ...originPullHostEndpoints(context, `${PATH}/hostnames`),
    endpoint(
      {
        method: "get",
        path: settings,
        summary: "Whether origins are shown the zone's certificate",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId }, params }) => {
        const { name } = await existingZone(store.db, accountId, params["zone_id"]);
        return { result: { enabled: await isOn(accountId, name) } };
      },
    ),
    endpoint(
      {
        method: "put",
        path: settings,
        summary: "Show origins the zone's certificate, or do not",
        scope: "ssl_certs:write",
        body: setting,
      },
      async ({ caller, params, body: { enabled } }) => {
        const { accountId } = caller;
        await applyChange({ store, edge }, async ({ db, changed }) => {
          const { id, name } = await existingZone(db, accountId, params["zone_id"]);
          await putPullZone(db, { id, accountId, zone: name, enabled: enabled ? 1 : 0 });
          await changed({ kind: "hosts", accountId });
          const resource = { type: "zone", id, name };
          const by = actorOf(caller);
          const audit: Audit = { by, action: "host.pull", accountId, resource, after: { enabled } };
          return { value: null, audit };
        });
        return { result: { enabled } };
      },
    ),
    ...certificateEndpoints(context, PATH, "zone"),
  ];
}

/** The endpoints for certificates of one level: zone or hostname. */
function certificateEndpoints(
  context: ControlContext,
  path: string,
  level: PullLevel,
): readonly Endpoint[] {
  const { store, edge } = context;
  const one = `${path}/{certificate_id}`;
  const whose = level === "zone" ? "the origins of a zone" : "the origins of hosts that name them";
  return [
    endpoint(
      { method: "get", path, summary: `Certificates for ${whose}`, scope: "ssl_certs:read" },
      async ({ caller: { accountId }, params }) => {
        const { name: zone } = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listPullCertificates(store.db, accountId, { zone, level });
        return list(rows.map((row) => shownPull(row)));
      },
    ),
    keyEndpoint(
      {
        method: "post",
        path,
        summary: `Upload a certificate for ${whose}`,
        scope: "ssl_certs:write",
        body: upload,
      },
      async ({ caller, params, upload: held }) => {
        const row = await storeUpload(context, caller, { params, level, held });
        return { result: shownPull(row) };
      },
    ),
    endpoint(
      { method: "get", path: one, summary: "One of them", scope: "ssl_certs:read" },
      async ({ caller, params }) => ({
        result: shownPull(await existing(store.db, caller, params, level)),
      }),
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete one", scope: "ssl_certs:write" },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const gone = await applyChange({ store, edge }, async ({ db, changed }) => {
          const row = await existing(db, caller, params, level);
          const hosts = (await listPullHosts(db, accountId))
            .filter(({ certificateId }) => certificateId === row.id)
            .map(({ host }) => host);
          if (hosts.length > 0) {
            throw new Failure("origin_pull_in_use", {
              message: `certificate ${row.id} is presented to the origins of ${hosts.join(", ").slice(0, 300)}`,
            });
          }
          await deletePullCertificate(db, row.id);
          await changed({ kind: "hosts", accountId });
          await changed({ kind: "certificate", accountId, certificateId: row.id });
          return { value: row, audit: auditOf(caller, "host.pull.delete", row) };
        });
        return { result: shownPull(gone, "deleted") };
      },
    ),
  ];
}

async function storeUpload(
  context: ControlContext,
  caller: Caller,
  {
    params,
    level,
    held,
  }: {
    readonly params: Readonly<Record<string, string>>;
    readonly level: PullLevel;
    readonly held: HeldUpload;
  },
): Promise<OriginPullCertificateRow> {
  const { keyring, clock, limits } = context;
  const { accountId } = caller;
  await existingZone(context.store.db, accountId, params["zone_id"]);
  const judged = await held.judge({ ca: false, now: clock() });
  if (judged.kind !== "leaf") throw new Failure("origin_pull_invalid");
  const { facts, chain } = judged;
  return applyChange(context, async ({ db, changed }) => {
    const { name: zone } = await existingZone(db, accountId, params["zone_id"]);
    const all = await listPullCertificates(db, accountId);
    const there = all.filter((one) => one.level !== "global");
    if (there.length >= limits.certificates) {
      throw new Failure("certificate_quota", {
        message: `the account already holds ${there.length} certificates for origin pulls`,
      });
    }
    const id = randomUUID();
    const place = pullKeyPlace({ accountId, id });
    const row: OriginPullCertificateRow = {
      id,
      accountId,
      zone,
      level,
      chain,
      sealedKey: keyring.wrap(place, await judged.sealKey(place)),
      issuer: facts.issuer,
      serialNumber: facts.serialNumber,
      signature: facts.signature,
      notAfter: facts.notAfter.toISOString(),
      uploadedOn: clock().toISOString(),
    };
    await insertPullCertificate(db, row);
    await changed({ kind: "certificate", accountId, certificateId: id });
    await changed({ kind: "hosts", accountId });
    return { value: row, audit: auditOf(caller, "host.pull.upload", row) };
  });
}

/** @throws Failure `origin_pull_not_found` */
async function existing(
  db: Database,
  { accountId }: Caller,
  params: Readonly<Record<string, string>>,
  level: PullLevel,
): Promise<OriginPullCertificateRow> {
  const { name: zone } = await existingZone(db, accountId, params["zone_id"]);
  const rows = await listPullCertificates(db, accountId, { zone, level });
  const row = rows.find(({ id }) => id === params["certificate_id"]);
  if (row !== undefined) return row;
  throw new Failure("origin_pull_not_found");
}

function auditOf(
  caller: Caller,
  action: Audit["action"],
  { id, accountId, zone, level }: OriginPullCertificateRow,
): Audit {
  const resource = { type: "origin_pull_certificate", id };
  return { by: actorOf(caller), action, accountId, resource, after: { zone, level } };
}
