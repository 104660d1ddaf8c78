import { z } from "@hono/zod-openapi";
import { createHash, generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { accessKeyPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import {
  accessKeyInterval,
  deleteAccessKeys,
  insertAccessKey,
  listAccessKeys,
  putAccessKeyInterval,
} from "../../store/access/access.ts";
import type { Database } from "../../store/database.ts";
import type { AccessKeyRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { changeAccess } from "./access-change.ts";
import { DAY, rotationOf, signerAt } from "./access-key-rotation.ts";

const interval = z.object({ key_rotation_interval_days: z.number().int().min(21).max(365) });

/** The keys that sign assertions: made with the first application, rotated with overlap. */
export function accessKeyEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, keyring, clock } = context;
  const path = "/accounts/{account_id}/access/keys";
  const shown = async (accountId: string): Promise<object> => {
    const [days, keys, now] = [
      await accessKeyInterval(store.db, accountId),
      await listAccessKeys(store.db, accountId),
      clock().getTime(),
    ];
    const signer = signerAt(keys, new Date(now));
    if (signer === undefined) return { key_rotation_interval_days: days };
    // A key that is already published begins to sign at its time, whatever the interval is now.
    const waiting = keys.find(({ signsFrom }) => Date.parse(signsFrom) > now);
    const ends = waiting
      ? Date.parse(waiting.signsFrom)
      : Date.parse(signer.signsFrom) + days * DAY;
    return {
      key_rotation_interval_days: days,
      days_until_next_rotation: Math.max(0, Math.ceil((ends - now) / DAY)),
      last_key_rotation_at: signer.signsFrom,
    };
  };
  return [
    endpoint(
      { method: "get", path, summary: "When the signing key is due", scope: "ssl_certs:read" },
      async ({ caller }) => ({ result: await shown(caller.accountId) }),
    ),
    endpoint(
      {
        method: "put",
        path,
        summary: "Say how many days a key signs",
        scope: "ssl_certs:write",
        body: interval,
      },
      async ({ caller, body: { key_rotation_interval_days: days } }) => {
        const { accountId } = caller;
        await changeAccess(context, caller, async ({ db }) => {
          const before = await accessKeyInterval(db, accountId);
          await putAccessKeyInterval(db, { accountId, days });
          return {
            value: null,
            action: "access.key_interval",
            resource: { type: "account", id: accountId },
            before: { days: before },
            after: { days },
          };
        });
        return { result: await shown(accountId) };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/rotate`,
        summary: "Sign with a new key; the one before stays published",
        scope: "ssl_certs:write",
      },
      async ({ caller }) => {
        const { accountId } = caller;
        const now = clock();
        const fresh = await newKey(keyring, accountId, now, now);
        await changeAccess(context, caller, async ({ db }) => {
          const before = await listAccessKeys(db, accountId);
          const waiting = before.filter(({ signsFrom }) => Date.parse(signsFrom) > now.getTime());
          const { over } = rotationOf(before, await accessKeyInterval(db, accountId), now);
          await deleteAccessKeys(db, [...waiting.map(({ id }) => id), ...over]);
          await insertAccessKey(db, fresh);
          return {
            value: null,
            action: "access.key_rotate",
            resource: { type: "access_key", id: fresh.id },
          };
        });
        return { result: await shown(accountId) };
      },
    ),
  ];
}

/** The first key of an account, for `ensureKey`. Null: the account has a key. */
export async function firstKey(
  { store, keyring, clock }: ControlContext,
  accountId: string,
): Promise<AccessKeyRow | null> {
  const there = await listAccessKeys(store.db, accountId);
  const now = clock();
  return there.length > 0 ? null : newKey(keyring, accountId, now, now);
}

/** Stores the key unless the account has one by now. */
export async function ensureKey(db: Database, fresh: AccessKeyRow | null): Promise<void> {
  if (fresh === null) return;
  const there = await listAccessKeys(db, fresh.accountId);
  if (there.length === 0) await insertAccessKey(db, fresh);
}

export async function newKey(
  keyring: Keyring,
  accountId: string,
  now: Date,
  signsFrom: Date,
): Promise<AccessKeyRow> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
  });
  const { n, e } = publicKey.export({ format: "jwk" });
  const id = createHash("sha256").update(`${n}.${e}`).digest("hex");
  return {
    id,
    accountId,
    publicKey: { kid: id, kty: "RSA", alg: "RS256", use: "sig", e, n },
    sealedKey: keyring.seal(
      accessKeyPlace(accountId, id),
      privateKey.export({ format: "pem", type: "pkcs8" }),
    ),
    createdOn: now.toISOString(),
    signsFrom: signsFrom.toISOString(),
  };
}
