import { randomBytes, randomUUID } from "node:crypto";
import type { StorageAnswer, StorageKind, StorageRequest } from "../../contract/storage.ts";
import { Failure, type FailureCode } from "../../failures/failures.ts";
import { scriptsThatBind, type StoredType } from "../../store/hosts/associations.ts";
import {
  countResources,
  deleteResource,
  findResourceByName,
  insertResource,
} from "../../store/resources.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { HeldBytes } from "../api/body-shares.ts";
import type { ControlContext } from "../api/context.ts";
import { assertFits, type Counted } from "../api/room.ts";

interface Made {
  readonly kind: Counted;
  readonly name: string;
  /** The failure if another resource has the name. */
  readonly exists: FailureCode;
  readonly settings?: ResourceRow["settings"];
}

/** Makes a new resource of the account. @throws Failure `exists`, `account_full` */
export async function makeResource(
  { store, clock }: ControlContext,
  caller: Caller,
  { kind, name, exists, settings = {} }: Made,
): Promise<ResourceRow> {
  const { accountId } = caller;
  const now = clock().toISOString();
  const id = kind === "d1" ? randomUUID() : randomBytes(16).toString("hex");
  const row: ResourceRow = {
    id,
    accountId,
    kind,
    name,
    settings,
    createdOn: now,
    modifiedOn: now,
  };
  await store.write(async ({ db }) => {
    if (await findResourceByName(db, accountId, kind, name)) throw taken(exists, name);
    assertFits(kind, (await countResources(db, accountId, kind)) + 1);
    await insertResource(db, row);
    return { value: null, audit: resourceAudit(caller, "create", row) };
  });
  return row;
}

export function taken(exists: FailureCode, name: string): Failure {
  return new Failure(exists, { message: `"${name}" exists already`, facts: { name } });
}

/**
 * Removes a resource from the account, then its data. Data that a crash leaves behind are under an id that is never
 * used again.
 * @throws Failure `resource_in_use`
 */
export async function removeResource(
  context: ControlContext,
  caller: Caller,
  row: ResourceRow,
  bound: { readonly type: StoredType; readonly target: string },
): Promise<void> {
  const { accountId, kind, id, name } = row;
  await context.store.write(async ({ db }) => {
    await refuseBound(db, row, bound);
    await deleteResource(db, row);
    return { value: null, audit: resourceAudit(caller, "delete", row) };
  });
  if (kind === "do" || kind === "workflow") return;
  const at = { accountId, kind, id: kind === "r2" || kind === "queue" ? name : id };
  await emptied(context, at).catch((error: unknown) => {
    context.log.error({ error, kind, id }, "what was deleted is still on the disk");
  });
}

/**
 * Like `makeResource`, for kinds whose data are stored under their name: a crash may have left data of an earlier
 * resource with the name.
 * @throws Failure `exists`, `account_full`, `storage_unavailable`; then no resource is made
 */
export async function makeEmptied(
  context: ControlContext,
  caller: Caller,
  made: Made,
): Promise<ResourceRow> {
  const row = await makeResource(context, caller, made);
  const { accountId, kind, name } = row;
  try {
    await emptied(context, { accountId, kind: kind as StorageKind, id: name });
  } catch (error) {
    await context.store.write(async ({ db }) => {
      await deleteResource(db, row);
      return { value: null, audit: resourceAudit(caller, "delete", row) };
    });
    throw error;
  }
  return row;
}

/** Deletes all data of a resource. @throws Failure `storage_unavailable` */
export async function emptied(
  context: Pick<ControlContext, "edge" | "bodies">,
  at: Pick<StorageRequest, "accountId" | "kind" | "id">,
): Promise<void> {
  const { status } = await asked(context, { ...at, destroys: true, method: "DELETE" });
  if (status < 400) return;
  throw new Failure("storage_unavailable", {
    message: `the storage answered ${status} to a deletion`,
  });
}

async function refuseBound(
  db: Database,
  { accountId, name }: ResourceRow,
  { type, target }: { readonly type: StoredType; readonly target: string },
): Promise<void> {
  const scripts = await scriptsThatBind(db, accountId, type, target);
  if (scripts.length === 0) return;
  const named = scripts.map((script) => `"${script}"`).join(", ");
  throw new Failure("resource_in_use", {
    message: `"${name}" is bound by ${named}`,
    facts: { scripts },
  });
}

export function resourceAudit(
  caller: Caller,
  what: "create" | "change" | "delete" | "purge",
  { accountId, kind, id, name }: ResourceRow,
): {
  readonly by: ReturnType<typeof actorOf>;
  readonly action: `storage.${typeof what}`;
  readonly accountId: string;
  readonly resource: { readonly type: string; readonly id: string; readonly name: string };
} {
  const by = actorOf(caller);
  return { by, action: `storage.${what}`, accountId, resource: { type: kind, id, name } };
}

/** An answer that was read to its end. */
export interface WholeAnswer extends Omit<StorageAnswer, "body"> {
  readonly body: Uint8Array;
}

/** @throws Failure `storage_unavailable`, `storage_answer_too_large`, `api_bytes_exhausted` */
export async function asked(
  context: Pick<ControlContext, "edge" | "bodies">,
  request: StorageRequest,
): Promise<WholeAnswer> {
  const answer = await askedToStream(context, request);
  using held = context.bodies.open(request.accountId);
  return { ...answer, body: await whole(answer.body, held) };
}

/** Like `asked`, but only one chunk of the answer is in memory at a time. */
export async function askedToStream(
  { edge }: Pick<ControlContext, "edge">,
  request: StorageRequest,
): Promise<StorageAnswer> {
  if (edge.storage === undefined) throw new Failure("storage_unavailable");
  return edge.storage(request);
}

async function whole(body: AsyncIterable<Uint8Array>, held: HeldBytes): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      length += chunk.byteLength;
      if (length > LARGEST_ANSWER) throw new Failure("storage_answer_too_large");
      held.add(chunk.byteLength);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure("storage_unavailable", { cause });
  }
  return Buffer.concat(chunks);
}

/** Bytes of an answer that is read to its end: the rows of a query, a database as SQL. */
export const LARGEST_ANSWER: number = 128 * 1024 * 1024;

/** Runs `work` for each item, a few at a time. */
export async function forEach<T>(
  all: readonly T[],
  work: (one: T) => Promise<void>,
): Promise<void> {
  const left = [...all].values();
  const runner = async (): Promise<void> => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, runner));
}

const AT_ONCE = 16;
