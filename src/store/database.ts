import type { Kysely } from "kysely";
import type { ScriptKey } from "../contract/change-feed.ts";
import type { Tables } from "./schema.ts";

/** A database, or a transaction on it: every query takes one. */
export type Database = Kysely<Tables>;

/** Rows of an ordered list. */
export interface Window {
  readonly offset: number;
  readonly limit: number;
}

/** What an edge has to look at again. */
export type Changed =
  | ({ readonly kind: "script" } & ScriptKey)
  | { readonly kind: "certificate"; readonly accountId: string; readonly certificateId: string }
  | { readonly kind: "trust"; readonly accountId: string }
  | { readonly kind: "database"; readonly accountId: string; readonly databaseId: string }
  | ({ readonly kind: "identity" } & ScriptKey)
  | { readonly kind: "identities"; readonly accountId: string }
  | { readonly kind: "queues"; readonly accountId: string }
  | { readonly kind: "hosts"; readonly accountId: string }
  | { readonly kind: "access"; readonly accountId: string };
