import {
  accessKeyPlace,
  acmeExternalKeyPlace,
  acmeKeyPlace,
  auditBasePlace,
  auditHeadPlace,
  databasePasswordPlace,
  hostKeyPlace,
  identityKeyPlace,
  identityRootKeyPlace,
  keyPlace,
  localAuthorityPlace,
  oauthProofPlace,
  type Place,
  pullAuthorityPlace,
  secretPlace,
  totpPlace,
  webhookPlace,
} from "../keys/places.ts";
import type { Sealed } from "../keys/seal.ts";
import type { WorkerBinding } from "../contract/change-feed.ts";
import { readBase, readHead, replaceBase, replaceHead } from "./access/audit.ts";
import { putLocalAuthority, readLocalAuthority } from "./local-authority.ts";
import { pullKeyPlace } from "./hosts/origin-pulls.ts";
import type { Database } from "./database.ts";
import type { Tables } from "./schema.ts";

/** One sealed record, wherever it stands. */
export interface SealedRecord {
  readonly place: Place;
  readonly sealed: Sealed;
  /** Puts the same record there, wrapped again. */
  replace(db: Database, sealed: Sealed): Promise<void>;
}

export interface SealedBatch {
  readonly records: readonly SealedRecord[];
  /** Where the next batch begins. Null: this was the last. */
  readonly next: string | null;
}

/** A kind of sealed record. Another kind is added to `columns` as well. */
export interface SealedColumn {
  /** The records of `limit` owners, in the order of their ids, after the owner `after`. */
  batch(db: Database, after: string, limit: number): Promise<SealedBatch>;
}

const certificateKeys: SealedColumn = {
  batch: async (db, after, limit) => {
    const owners = await ownersAfter(db, "certificates", after, limit);
    const rows = await db
      .selectFrom("certificateVersions")
      .select(["accountId", "certificateId", "version", "sealedKey"])
      .where("certificateId", "in", ids(owners))
      .where("sealedKey", "is not", null)
      .execute();
    return batchOf(
      owners,
      limit,
      rows.map((row) => ({
        place: keyPlace(row),
        sealed: row.sealedKey as Sealed,
        replace: async (transaction, sealedKey) => {
          await transaction
            .updateTable("certificateVersions")
            .set({ sealedKey })
            .where("certificateId", "=", row.certificateId)
            .where("version", "=", row.version)
            .execute();
        },
      })),
    );
  },
};

const secrets: SealedColumn = {
  batch: async (db, after, limit) => {
    const owners = await ownersAfter(db, "scriptVersions", after, limit);
    const rows = await db
      .selectFrom("versionBindings as b")
      .innerJoin("scriptVersions as v", "v.id", "b.versionId")
      .innerJoin("scripts as s", "s.id", "v.scriptId")
      .select(["s.accountId", "s.name as scriptName", "b.versionId", "b.name", "b.body"])
      .where("b.versionId", "in", ids(owners))
      .where("b.type", "=", "secret_text")
      .execute();
    return batchOf(
      owners,
      limit,
      rows.map(({ accountId, scriptName, versionId, name, body }) => {
        const binding = JSON.parse(body) as WorkerBinding & { readonly type: "secret_text" };
        return {
          place: secretPlace({ accountId, scriptName, versionId, name }),
          sealed: binding.sealed,
          replace: async (transaction, sealed) => {
            await transaction
              .updateTable("versionBindings")
              .set({ body: JSON.stringify({ ...binding, sealed }) })
              .where("versionId", "=", versionId)
              .where("name", "=", name)
              .execute();
          },
        };
      }),
    );
  },
};

const webhookSecrets = columnOf({
  table: "webhooks",
  owner: "accountId",
  column: "sealedSecret",
  place: ({ accountId }) => webhookPlace(accountId),
});

const identityKeys: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("identityAuthorities")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(limit)
      .execute();
    const records = rows.flatMap(({ id, accountId, sealedKey, sealedRootKey }) => {
      const record = (column: "sealedKey" | "sealedRootKey", sealed: Sealed, place: Place) => ({
        place,
        sealed,
        replace: async (transaction: Database, fresh: Sealed) => {
          await transaction
            .updateTable("identityAuthorities")
            .set({ [column]: fresh })
            .where("id", "=", id)
            .execute();
        },
      });
      const own = record("sealedKey", sealedKey, identityKeyPlace(accountId, id));
      return sealedRootKey === null
        ? [own]
        : [own, record("sealedRootKey", sealedRootKey, identityRootKeyPlace(accountId, id))];
    });
    return batchOf(rows, limit, records);
  },
};

const accessKeys = columnOf({
  table: "accessKeys",
  owner: "id",
  column: "sealedKey",
  place: ({ accountId, id }) => accessKeyPlace(accountId, id),
});

const hostKeys = columnOf({
  table: "hostCertificates",
  owner: "id",
  column: "sealedKey",
  place: ({ accountId, id }) => hostKeyPlace(accountId, id),
});

const acmeKeys = columnOf({
  table: "acmeAccounts",
  owner: "id",
  column: "sealedKey",
  place: ({ accountId, id }) => acmeKeyPlace(accountId, id),
});

const acmeExternalKeys = columnOf({
  table: "acmeExternalAccounts",
  owner: "id",
  column: "sealedKey",
  place: ({ accountId, id }) => acmeExternalKeyPlace(accountId, id),
});

/** Certificate keys as well: the gateway presents them as any other. */
const originPullKeys = columnOf({
  table: "originPullCertificates",
  owner: "id",
  column: "sealedKey",
  place: pullKeyPlace,
});

const pullAuthorityKeys = columnOf({
  table: "pullAuthorities",
  owner: "id",
  column: "sealedKey",
  place: ({ id }) => pullAuthorityPlace(id),
});

const databasePasswords = columnOf({
  table: "hyperdriveConfigs",
  owner: "id",
  column: "sealedPassword",
  place: ({ accountId, id }) => databasePasswordPlace(accountId, id),
});

const localAuthorityKey: SealedColumn = {
  batch: async (db) => {
    const row = await readLocalAuthority(db);
    if (row === null) return { records: [], next: null };
    const replace = (transaction: Database, sealedKey: Sealed): Promise<void> =>
      putLocalAuthority(transaction, { ...row, sealedKey });
    return {
      records: [{ place: localAuthorityPlace, sealed: row.sealedKey, replace }],
      next: null,
    };
  },
};

const secondFactors = columnOf({
  table: "secondFactors",
  owner: "userId",
  column: "sealedSecret",
  place: ({ userId }) => totpPlace(userId),
});

const oauthProofs: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("oauthRecords")
      .select(["model", "idHash", "sealedProof"])
      .where("idHash", ">", after)
      // A row without a proof is nobody's login.
      .where("sealedProof", "is not", null)
      .$narrowType<{ sealedProof: Sealed }>()
      .orderBy("idHash")
      .limit(limit)
      .execute();
    const records = rows.map(({ model, idHash, sealedProof }) => ({
      place: oauthProofPlace({ model, idHash }),
      sealed: sealedProof,
      replace: async (transaction: Database, fresh: Sealed) => {
        await transaction
          .updateTable("oauthRecords")
          .set({ sealedProof: fresh })
          .where("model", "=", model)
          .where("idHash", "=", idHash)
          .execute();
      },
    }));
    return batchOf(
      rows.map(({ idHash }) => ({ id: idHash })),
      limit,
      records,
    );
  },
};

const auditHead: SealedColumn = {
  batch: async (db) => {
    const [head, base] = [await readHead(db), await readBase(db)];
    const records: SealedRecord[] = [];
    if (head?.sealed)
      records.push({ place: auditHeadPlace, sealed: head.sealed, replace: replaceHead });
    if (base?.sealed)
      records.push({ place: auditBasePlace, sealed: base.sealed, replace: replaceBase });
    return { records, next: null };
  },
};

/** Every kind of record but those that a change of the master key seals itself. */
const columns: Readonly<
  Record<
    Exclude<Place["kind"], "master-key-check" | "master-key" | "secret-in-request">,
    SealedColumn
  >
> = {
  "certificate-key": certificateKeys,
  secret: secrets,
  "webhook-secret": webhookSecrets,
  "identity-key": identityKeys,
  "access-key": accessKeys,
  totp: secondFactors,
  "oauth-proof": oauthProofs,
  "audit-head": auditHead,
  "host-key": hostKeys,
  "acme-key": acmeKeys,
  "acme-external-key": acmeExternalKeys,
  "database-password": databasePasswords,
  "local-authority-key": localAuthorityKey,
  "pull-authority-key": pullAuthorityKeys,
};

export const sealedColumns: readonly SealedColumn[] = [...Object.values(columns), originPullKeys];

/** A column with one record a row, where the row's owner is its key. */
function columnOf<T extends keyof Tables>({
  table,
  owner,
  column,
  place,
}: PlainColumn<T>): SealedColumn {
  return {
    batch: async (db, after, limit) => {
      // The names are checked by `PlainColumn`; Kysely has no word for a table of several.
      const own = owner as "id";
      const rows = await db
        .selectFrom(table as "accessKeys")
        .selectAll()
        .where(own, ">", after)
        .orderBy(own)
        .limit(limit)
        .execute();
      const records = rows.map((row) => ({
        place: place(row as unknown as Tables[T]),
        sealed: row[column as "sealedKey"],
        replace: async (transaction: Database, fresh: Sealed) => {
          await transaction
            .updateTable(table as "accessKeys")
            .set({ [column]: fresh })
            .where(own, "=", row[own])
            .execute();
        },
      }));
      return batchOf(
        rows.map((row) => ({ id: row[own] })),
        limit,
        records,
      );
    },
  };
}

interface PlainColumn<T extends keyof Tables> {
  readonly table: T;
  readonly owner: keyof Tables[T] & string;
  readonly column: keyof Tables[T] & `sealed${string}`;
  readonly place: (row: Tables[T]) => Place;
}

interface Owner {
  readonly id: string;
}

function ownersAfter(
  db: Database,
  table: "certificates" | "scriptVersions",
  after: string,
  limit: number,
): Promise<Owner[]> {
  return db
    .selectFrom(table)
    .select("id")
    .where("id", ">", after)
    .orderBy("id")
    .limit(limit)
    .execute();
}

/** Never empty, as SQL wants it. */
function ids(owners: readonly Owner[]): readonly string[] {
  return owners.length > 0 ? owners.map(({ id }) => id) : [""];
}

function batchOf(
  owners: readonly Owner[],
  limit: number,
  records: readonly SealedRecord[],
): SealedBatch {
  return { records, next: owners.length < limit ? null : (owners.at(-1)?.id ?? null) };
}
