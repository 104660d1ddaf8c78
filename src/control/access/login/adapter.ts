import type { Adapter, AdapterPayload } from "oidc-provider";
import { InvalidGrant } from "oidc-provider/lib/helpers/errors.js";
import type { Actor, Audit } from "../../../store/access/audit.ts";
import {
  consumeOauthRecord,
  deleteOauthGrant,
  deleteOauthRecord,
  findOauthRecord,
  type OauthPayload,
  saveOauthRecord,
} from "../../../store/access/oauth.ts";
import type { Database } from "../../../store/database.ts";
import type { Keyring } from "../../../keys/seal.ts";
import type { Store } from "../../../store/store.ts";
import { findUser, membershipsOf } from "../../../store/access/users.ts";
import type { BegunLogins } from "./begun-logins.ts";

export interface AdapterContext {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  /** The address of the request that is being answered. */
  readonly address: () => string | null;
  readonly begun: BegunLogins;
}

/**
 * Stores the OAuth server's state in our store, so a login survives a restart. Ids of tokens, codes and sessions are
 * secrets, so only their hash is stored.
 */
export class StoreAdapter implements Adapter {
  readonly #model: string;
  readonly #context: AdapterContext;

  constructor(model: string, context: AdapterContext) {
    this.#model = model;
    this.#context = context;
  }

  async upsert(id: string, payload: AdapterPayload, expiresIn: number): Promise<void> {
    const { store, keyring, clock, begun, address } = this.#context;
    const kept = withoutSecrets(payload);
    if (this.#model === "Interaction") await begun.admit(kept, address());
    const now = clock();
    await store.write(async ({ db }) => {
      const expiresOn = new Date(now.getTime() + expiresIn * 1000);
      const record = { model: this.#model, id, payload: kept, expiresOn };
      await saveOauthRecord(db, keyring, record, now);
      return { value: null, audit: await this.#issued(db, kept) };
    });
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return this.#read({ id }, id);
  }

  async findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return this.#read({ uid }, undefined);
  }

  async consume(id: string): Promise<void> {
    const { store, clock } = this.#context;
    await store.write(async ({ db }) => {
      const first = await consumeOauthRecord(db, { model: this.#model, id, now: clock() });
      if (!first) throw new InvalidGrant("already consumed");
      return { value: null, audit: null };
    });
  }

  /** Deleting a token ends the whole login, in one step with one entry in the audit log. */
  async destroy(id: string): Promise<void> {
    await this.#context.store.write(async ({ db }) => {
      const gone = await deleteOauthRecord(db, this.#model, id);
      if (!gone || !revocable.has(this.#model)) return { value: null, audit: null };
      const more = await deleteOauthGrant(db, gone.grantId ?? id);
      return { value: null, audit: await this.#revoked(db, gone, more.length) };
    });
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    await this.#context.store.write(async ({ db }) => {
      const gone = await deleteOauthGrant(db, grantId);
      const login = gone.find(({ kind }) => typeof kind === "string" && revocable.has(kind));
      return { value: null, audit: login ? await this.#revoked(db, login, gone.length) : null };
    });
  }

  /** Only the device flow has codes that people type in, and it is switched off. */
  findByUserCode(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async #read(
    by: { readonly id: string } | { readonly uid: string },
    jti: string | undefined,
  ): Promise<AdapterPayload | undefined> {
    const { store, keyring, clock } = this.#context;
    const row = await findOauthRecord(store.db, keyring, this.#model, by);
    if (!row || new Date(row.expiresOn) <= clock()) return undefined;
    return {
      ...(JSON.parse(row.payload) as AdapterPayload),
      ...(jti !== undefined && { jti }),
      ...(row.consumedOn !== null && {
        consumed: Math.floor(new Date(row.consumedOn).getTime() / 1000),
      }),
    };
  }

  /** The audit entry for a consent that a person gave, and for each token issued under it. Null: nothing to record. */
  async #issued(db: Database, payload: OauthPayload): Promise<Audit | null> {
    if (this.#model === "Grant") {
      const { openid } = payload as { openid?: { scope?: string } };
      return this.#audit(db, payload, "login.grant", { scopes: openid?.scope?.split(" ") ?? [] });
    }
    if (this.#model !== "AccessToken") return null;
    return this.#audit(db, payload, "login.token", { by: payload["gty"] });
  }

  #revoked(db: Database, login: OauthPayload, records: number): Promise<Audit> {
    return this.#audit(db, login, "login.revoke", { records });
  }

  async #audit(
    db: Database,
    payload: OauthPayload,
    action: "login.grant" | "login.token" | "login.revoke",
    after: Record<string, unknown>,
  ): Promise<Audit> {
    const user = payload.accountId ? await findUser(db, payload.accountId) : undefined;
    const memberships = user ? await membershipsOf(db, user.id) : [];
    const by: Actor = {
      kind: "user",
      id: user?.id ?? null,
      email: user?.email ?? "unknown",
      address: this.#context.address(),
    };
    return {
      by,
      action,
      // A login is not about one account, so it is recorded in the person's first account.
      accountId: memberships[0]?.accountId ?? null,
      resource: { type: "login", id: payload.clientId ?? "", name: by.email },
      after,
    };
  }
}

const revocable: ReadonlySet<string> = new Set(["AccessToken", "RefreshToken", "Grant"]);

function withoutSecrets(payload: AdapterPayload): OauthPayload {
  const kept: Record<string, unknown> = { ...payload };
  delete kept["jti"];
  if (kept["session"]) kept["session"] = { ...kept["session"], cookie: undefined };
  return kept;
}
