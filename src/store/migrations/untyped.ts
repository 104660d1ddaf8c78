import type { Kysely } from "kysely";

export type Untyped = Kysely<any>;
