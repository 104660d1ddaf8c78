import {
  accessKeyPlace,
  auditBasePlace,
  auditHeadPlace,
  databasePasswordPlace,
  hostKeyPlace,
  identityKeyPlace,
  identityRootKeyPlace,
  keyPlace,
  localAuthorityPlace,
  type Place,
  secretPlace,
  totpPlace,
  webhookPlace,
} from "../keys/places.ts";
import type { Sealed } from "../keys/seal.ts";
import type { WorkerBinding } from "../contract/change-feed.ts";
import { readBase, readHead, replaceBase, replaceHead } from "./audit.ts";
import { putLocalAuthority, readLocalAuthority } from "./local-authority.ts";
import type { Database } from "./database.ts";

/** One sealed record, wherever it stands. */
export interface SealedRecord {
  readonly place: Place;
  readonly sealed: Sealed;
  /** Puts the same record there, wrapped anew. */
  replace(db: Database, sealed: Sealed): Promise<void>;
}

export interface SealedBatch {
  readonly records: readonly SealedRecord[];
  /** Where the next batch begins. Null: this was the last. */
  readonly next: string | null;
}

/** A kind of sealed record. Whoever seals another kind adds it to `columns`. */
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

const webhookSecrets: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("webhooks")
      .selectAll()
      .where("accountId", ">", after)
      .orderBy("accountId")
      .limit(limit)
      .execute();
    return batchOf(
      rows.map(({ accountId }) => ({ id: accountId })),
      limit,
      rows.map((row) => ({
        place: webhookPlace(row.accountId),
        sealed: row.sealedSecret,
        replace: async (transaction, sealedSecret) => {
          await transaction
            .updateTable("webhooks")
            .set({ sealedSecret })
            .where("accountId", "=", row.accountId)
            .execute();
        },
      })),
    );
  },
};

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

const accessKeys: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("accessKeys")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(limit)
      .execute();
    return batchOf(
      rows,
      limit,
      rows.map(({ id, accountId, sealedKey }) => ({
        place: accessKeyPlace(accountId, id),
        sealed: sealedKey,
        replace: async (transaction, fresh) => {
          await transaction
            .updateTable("accessKeys")
            .set({ sealedKey: fresh })
            .where("id", "=", id)
            .execute();
        },
      })),
    );
  },
};

const hostKeys: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("hostCertificates")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(limit)
      .execute();
    return batchOf(
      rows,
      limit,
      rows.map((row) => ({
        place: hostKeyPlace(row.accountId, row.id),
        sealed: row.sealedKey,
        replace: async (transaction, sealedKey) => {
          await transaction
            .updateTable("hostCertificates")
            .set({ sealedKey })
            .where("id", "=", row.id)
            .execute();
        },
      })),
    );
  },
};

const databasePasswords: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("hyperdriveConfigs")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(limit)
      .execute();
    return batchOf(
      rows,
      limit,
      rows.map((row) => ({
        place: databasePasswordPlace(row.accountId, row.id),
        sealed: row.sealedPassword,
        replace: async (transaction, sealedPassword) => {
          await transaction
            .updateTable("hyperdriveConfigs")
            .set({ sealedPassword })
            .where("id", "=", row.id)
            .execute();
        },
      })),
    );
  },
};

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

const secondFactors: SealedColumn = {
  batch: async (db, after, limit) => {
    const rows = await db
      .selectFrom("secondFactors")
      .selectAll()
      .where("userId", ">", after)
      .orderBy("userId")
      .limit(limit)
      .execute();
    const records = rows.map(({ userId, sealedSecret }) => ({
      place: totpPlace(userId),
      sealed: sealedSecret,
      replace: async (transaction: Database, fresh: Sealed) => {
        await transaction
          .updateTable("secondFactors")
          .set({ sealedSecret: fresh })
          .where("userId", "=", userId)
          .execute();
      },
    }));
    return batchOf(
      rows.map(({ userId }) => ({ id: userId })),
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
  Record<Exclude<Place["kind"], "master-key-check" | "master-key">, SealedColumn>
> = {
  "certificate-key": certificateKeys,
  secret: secrets,
  "webhook-secret": webhookSecrets,
  "identity-key": identityKeys,
  "access-key": accessKeys,
  totp: secondFactors,
  "audit-head": auditHead,
  "host-key": hostKeys,
  "database-password": databasePasswords,
  "local-authority-key": localAuthorityKey,
};

export const sealedColumns: readonly SealedColumn[] = Object.values(columns);

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
