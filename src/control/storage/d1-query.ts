import type { StorageRequest } from "../../contract/storage.ts";
import { Failure, type FailureCode } from "../../failures/failures.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { asked } from "./resource.ts";

export interface D1Call {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

interface Statement {
  readonly sql: string;
  readonly params?: readonly unknown[] | undefined;
}

/** Runs the statements in one transaction, with a result for each. @throws Failure `d1_query_failed` with SQLite's message */
export async function runSql(
  context: ControlContext,
  row: ResourceRow,
  batch: readonly Statement[],
  isRaw: boolean,
): Promise<unknown> {
  const answer = await asked(context, {
    ...at(row),
    method: "POST",
    path: isRaw ? "/statements?resultsFormat=ROWS_AND_COLUMNS" : "/statements",
    body: JSON.stringify(batch),
  });
  return sqlAnswer(Buffer.from(answer.body).toString());
}

/** @throws Failure `d1_query_failed`, `disk_full`, `storage_unavailable` if the statement is not to blame */
export function sqlAnswer(text: string): unknown {
  const result = parsed(text);
  if (Array.isArray(result)) return result;
  const { success, error } = (result ?? {}) as { success?: boolean; error?: string };
  if (success === true) return result;
  const code = notTheStatement(error ?? "");
  if (code !== null) {
    throw new Failure(code, { message: `D1 answered: ${error?.slice(0, 200)}` });
  }
  throw new Failure("d1_query_failed", {
    message: (error ?? text).slice(0, 1000).replace(/\.$/, ""),
  });
}

/** Null: the statement is to blame. */
function notTheStatement(error: string): FailureCode | null {
  const sqlite = error.split(": ").at(-1) ?? "";
  if (sqlite.startsWith("SQLITE_FULL")) return "disk_full";
  // workerd's own code, which could not read or write or has a fault, names no reason.
  const isOurs = error.startsWith("internal error") || /^SQLITE_(IOERR|CANTOPEN)/.test(sqlite);
  return isOurs ? "storage_unavailable" : null;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function at({ accountId, id }: ResourceRow): StorageRequest {
  return { accountId, kind: "d1", id };
}
