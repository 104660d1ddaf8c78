import { randomBytes } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { IDENTITY } from "../../contract/identity.ts";
import { databasePasswordPlace } from "../../keys/places.ts";
import { Failure } from "../../failures/failures.ts";
import { scriptsThatBind } from "../../store/hosts/associations.ts";
import type { Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import {
  deleteHyperdrive,
  findHyperdrive,
  insertHyperdrive,
  listHyperdrive,
  updateHyperdrive,
} from "../../store/hyperdrive.ts";
import type { HyperdriveConfigRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Call, type Endpoint } from "../api/endpoint.ts";
import { list, type Answer } from "../api/envelope.ts";
import { oneLine } from "../api/text.ts";
import {
  assertCertificates,
  changed,
  changedConfig,
  wholeConfig,
  type ConfigChange,
} from "./settings.ts";

/** Configurations of one account. */
const MOST = 100;

/**
 * `wrangler hyperdrive`, and `hyperdrive.configs` of the cloudflare SDK. A configuration contains a password, so it
 * needs the scope for adding keys.
 */
export function hyperdriveEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge } = context;
  const path = "/accounts/{account_id}/hyperdrive/configs";
  const one = `${path}/{hyperdrive_id}`;
  const read = { scope: "ssl_certs:read" } as const;
  const change = { scope: "ssl_certs:write" } as const;
  return [
    endpoint(
      { ...read, method: "get", path, summary: "List Hyperdrive configurations" },
      async ({ caller }) => list((await listHyperdrive(store.db, caller.accountId)).map(shown)),
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path,
        summary: "Make a Hyperdrive configuration",
        body: wholeConfig(),
        holdsSecrets: true,
      },
      async (call) => answer(await create(context, call), call.body),
    ),
    endpoint(
      { ...read, method: "get", path: one, summary: "One Hyperdrive configuration" },
      async ({ caller, params }) => ({
        result: shown(await existingConfig(store.db, caller.accountId, idOf(params))),
      }),
    ),
    endpoint(
      {
        ...change,
        method: "put",
        path: one,
        summary: "Replace a Hyperdrive configuration",
        body: wholeConfig(),
        holdsSecrets: true,
      },
      async (call) => answer(await update(context, idOf(call.params), call), call.body),
    ),
    endpoint(
      {
        ...change,
        method: "patch",
        path: one,
        summary: "Change parts of a Hyperdrive configuration",
        body: changedConfig(),
        holdsSecrets: true,
      },
      async (call) => answer(await update(context, idOf(call.params), call), call.body),
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path: "/accounts/{account_id}/countersign/hyperdrive/{hyperdrive_id}/test",
        summary:
          "Sign in to the database of a Hyperdrive configuration, and say step by step how it went",
        body: z.object({ worker: oneLine.max(255).default("") }),
      },
      async ({ caller, params, body, request }) => {
        const { accountId } = caller;
        const { id, mtlsCertificateId } = await existingConfig(store.db, accountId, idOf(params));
        if (mtlsCertificateId === IDENTITY && body.worker === "") {
          throw new Failure("hyperdrive_worker_missing");
        }
        return { result: await edge.testDatabase(accountId, id, body.worker, request.signal) };
      },
    ),
    endpoint(
      { ...change, method: "delete", path: one, summary: "Delete a Hyperdrive configuration" },
      async ({ caller, params }) => {
        await remove(context, caller, idOf(params));
        return { result: null };
      },
    ),
  ];
}

type Told = Pick<Call<undefined, ConfigChange>, "caller" | "body" | "texts">;

function create(
  context: ControlContext,
  { caller, body, texts }: Told,
): Promise<HyperdriveConfigRow> {
  const { accountId } = caller;
  const { keyring, clock } = context;
  const settings = changed(null, body);
  const id = randomBytes(16).toString("hex");
  return applyChange(context, async ({ db, changed: tell }) => {
    await assertCertificates(db, accountId, settings);
    const others = await listHyperdrive(db, accountId);
    refuseTakenName(others, { id, name: settings.name });
    if (others.length >= MOST) throw new Failure("hyperdrive_quota");
    const now = clock().toISOString();
    const row: HyperdriveConfigRow = {
      ...settings,
      id,
      accountId,
      sealedPassword: texts.seal(
        keyring,
        databasePasswordPlace(accountId, id),
        body.origin?.password ?? "",
      ),
      createdOn: now,
      modifiedOn: now,
    };
    await insertHyperdrive(db, row);
    await tell({ kind: "database", accountId, databaseId: id });
    return { value: row, audit: auditOf(caller, "create", null, row) };
  });
}

function update(
  context: ControlContext,
  id: string,
  { caller, body, texts }: Told,
): Promise<HyperdriveConfigRow> {
  const { accountId } = caller;
  const { keyring, clock } = context;
  return applyChange(context, async ({ db, changed: tell }) => {
    const before = await existingConfig(db, accountId, id);
    const settings = changed(before, body);
    await assertCertificates(db, accountId, settings);
    refuseTakenName(await listHyperdrive(db, accountId), { id, name: settings.name });
    const password = body.origin?.password;
    const row: HyperdriveConfigRow = {
      ...before,
      ...settings,
      ...(password !== undefined && {
        sealedPassword: texts.seal(keyring, databasePasswordPlace(accountId, id), password),
      }),
      modifiedOn: clock().toISOString(),
    };
    await updateHyperdrive(db, row);
    await tell({ kind: "database", accountId, databaseId: id });
    return { value: row, audit: auditOf(caller, "update", before, row) };
  });
}

async function remove(context: ControlContext, caller: Caller, id: string): Promise<void> {
  const { accountId } = caller;
  await applyChange(context, async ({ db, changed: tell }) => {
    const row = await existingConfig(db, accountId, id);
    const scripts = await scriptsThatBind(db, accountId, "hyperdrive", id);
    if (scripts.length > 0) {
      throw new Failure("hyperdrive_in_use", {
        message: `the Hyperdrive configuration "${row.name}" is bound by ${scripts.map((s) => `"${s}"`).join(", ")}`,
        facts: { scripts },
      });
    }
    await deleteHyperdrive(db, row);
    await tell({ kind: "database", accountId, databaseId: id });
    return { value: null, audit: auditOf(caller, "delete", row, null) };
  });
}

/** @throws Failure `hyperdrive_not_found` */
export async function existingConfig(
  db: Database,
  accountId: string,
  id: string,
): Promise<HyperdriveConfigRow> {
  const row = await findHyperdrive(db, accountId, id);
  if (row !== null) return row;
  throw new Failure("hyperdrive_not_found", {
    message: `there is no Hyperdrive configuration "${id.slice(0, 100)}" in this account`,
  });
}

function refuseTakenName(
  others: readonly HyperdriveConfigRow[],
  { id, name }: Pick<HyperdriveConfigRow, "id" | "name">,
): void {
  const namesake = others.find((other) => other.name === name && other.id !== id);
  if (namesake === undefined) return;
  throw new Failure("hyperdrive_name_taken", {
    message: `the Hyperdrive configuration ${namesake.id} already has the name "${name}"`,
    facts: { id: namesake.id },
  });
}

function auditOf(
  caller: Caller,
  did: "create" | "update" | "delete",
  before: HyperdriveConfigRow | null,
  after: HyperdriveConfigRow | null,
): Audit {
  const { id, accountId, name } = (after ?? before)!;
  const passwordChanged =
    before !== null && after !== null && before.sealedPassword !== after.sealedPassword;
  return {
    by: actorOf(caller),
    action: `hyperdrive.${did}`,
    accountId,
    resource: { type: "hyperdrive", id, name },
    ...(before && { before: facts(before) }),
    ...(after && { after: { ...facts(after), ...(passwordChanged && { passwordChanged }) } }),
  };
}

function facts(row: HyperdriveConfigRow): Readonly<Record<string, unknown>> {
  const { sealedPassword: _, id: _id, accountId: _account, createdOn: _on, ...rest } = row;
  return rest;
}

/** Caching is on by default at Cloudflare, so a client that does not switch it off is told that it is off here. */
function answer(row: HyperdriveConfigRow, { caching }: ConfigChange): Answer {
  const asked = caching?.disabled !== true;
  return {
    result: shown(row),
    messages: asked ? ["queries are not cached here: `caching` is always disabled"] : [],
  };
}

/** As Cloudflare shows a configuration: everything except the password. */
function shown(row: HyperdriveConfigRow): object {
  const { id, name, host, port, database, scheme, user, sslmode, connectionLimit } = row;
  return {
    id,
    name,
    origin: { scheme, host, port, database, user },
    caching: { disabled: true },
    mtls: {
      ...(row.caCertificateId !== null && { ca_certificate_id: row.caCertificateId }),
      ...(row.mtlsCertificateId !== null && { mtls_certificate_id: row.mtlsCertificateId }),
      sslmode,
    },
    origin_connection_limit: connectionLimit,
    created_on: row.createdOn,
    modified_on: row.modifiedOn,
  };
}

function idOf(params: Readonly<Record<string, string>>): string {
  return params["hyperdrive_id"] ?? "";
}
