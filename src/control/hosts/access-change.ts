import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import { findAccess, type AccessTable } from "../../store/access/access.ts";
import type { AuditAction } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import type { Tables } from "../../store/schema.ts";
import type { Write } from "../../store/store.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";

export interface AccessChange<T> {
  readonly value: T;
  readonly action: AuditAction;
  readonly resource: { readonly type: string; readonly id: string; readonly name?: string };
  readonly before?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
}

/** Makes a change of Access, records it, and waits until the ingress applies it. */
export function changeAccess<T>(
  { store, edge }: Pick<ControlContext, "store" | "edge">,
  caller: Caller,
  work: (write: Write) => Promise<AccessChange<T>>,
): Promise<T> {
  const { accountId } = caller;
  return applyChange({ store, edge }, async (write) => {
    const { value: done, ...audit } = await work(write);
    await write.changed({ kind: "access", accountId });
    return { value: done, audit: { by: actorOf(caller), accountId, ...audit } };
  });
}

/** @throws Failure `access_not_found` */
export async function existingAccess<T extends AccessTable>(
  db: Database,
  table: T,
  { accountId }: Pick<Caller, "accountId">,
  id: string | undefined,
): Promise<Tables[T]> {
  const row = await findAccess(db, table, { accountId, id: id ?? "" });
  if (row) return row;
  throw new Failure("access_not_found", { message: `Access has no ${NAMES[table]} "${id}"` });
}

const NAMES: Readonly<Record<AccessTable, string>> = {
  accessApplications: "application",
  accessPolicies: "policy",
  accessAuthorities: "certificate",
  serviceTokens: "service token",
};

/**
 * Refuses, by name, fields that would have no effect. Fields with an empty value, as Terraform sends for all that it
 * knows, are accepted.
 * @throws Failure `access_unsupported`
 */
export function refuseOthers(body: object, known: readonly string[]): void {
  for (const [field, value] of Object.entries(body)) {
    if (known.includes(field) || saysNothing(value)) continue;
    throw new Failure("access_unsupported", {
      message: `Access does not have "${field.slice(0, 100)}" here`,
      facts: { field: field.slice(0, 100) },
    });
  }
}

function saysNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === "") return true;
  return typeof value === "object" && Object.values(value).every(saysNothing);
}
