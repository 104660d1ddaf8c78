import { randomUUID } from "node:crypto";
import type { IdentityIssuer, IdentityState, IssuedIdentity } from "../contract/identity.ts";
import type { ScriptKey } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { identityKeyPlace, identityRootKeyPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";
import {
  activeAuthority,
  findIdentity,
  forgetExpired,
  insertAuthority,
  insertIssued,
  listAuthorities,
  putIdentity,
} from "../store/identities.ts";
import { findAccount } from "../store/access/accounts.ts";
import { findScript } from "../store/workers/scripts.ts";
import type { IdentityAuthorityRow } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { workerSpiffeId } from "countersign-origin";
import { makeRequest, makeRoot, signIntermediate, type SigningAuthority } from "./authority.ts";
import { environmentOf } from "./environment.ts";
import { issueIdentity } from "./issue.ts";

export interface IdentitiesOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  /** `countersign.internal`, for example. */
  readonly trustDomain: string;
}

/** Issues identities to the Workers of each account, from the account's own CA. */
export class Identities implements IdentityIssuer {
  readonly #options: IdentitiesOptions;
  /** CAs that are being made, so the first two Workers of an account get the same CA. */
  readonly #making = new Map<string, Promise<IdentityAuthorityRow>>();

  constructor(options: IdentitiesOptions) {
    this.#options = options;
  }

  get trustDomain(): string {
    return this.#options.trustDomain;
  }

  async identity(key: ScriptKey): Promise<IdentityState> {
    const { db } = this.#options.store;
    const [row, authority, spiffeId] = await Promise.all([
      findIdentity(db, key),
      activeAuthority(db, key.accountId),
      this.spiffeId(key),
    ]);
    const { revokedOn = null, reason = null } = row ?? {};
    return { revokedOn, reason, spiffeId, authorityId: authority?.id ?? null };
  }

  /** The SPIFFE ID that a Worker would be issued now. */
  async spiffeId(key: ScriptKey): Promise<string> {
    const { accountId: account, scriptName: worker } = key;
    const { store, trustDomain } = this.#options;
    const names = (await findAccount(store.db, account))?.identityEnvironments === 1;
    const script = names ? await findScript(store.db, key) : undefined;
    const environment = script === undefined ? null : environmentOf(script);
    return workerSpiffeId({ trustDomain, account, worker, environment });
  }

  async issueIdentity(key: ScriptKey, csr: string): Promise<IssuedIdentity> {
    const { accountId, scriptName } = key;
    const { store, clock } = this.#options;
    const authority = await this.authority(accountId);
    const spiffeId = await this.spiffeId(key);
    const now = clock();
    const issued = await issueIdentity(this.signer(authority), {
      csr,
      spiffeId,
      worker: scriptName,
      account: accountId,
      now,
    });
    const notBefore = issued.notBefore.toISOString();
    const notAfter = issued.notAfter.toISOString();
    const { value: version } = await store.write(async ({ db }) => {
      // Checked again in the transaction, so an identity that was revoked in between is never handed out.
      const before = await findIdentity(db, key);
      if (before?.revokedOn) throw identityRevoked(scriptName, before.revokedOn, before.reason);
      const next = (before?.version ?? 0) + 1;
      await putIdentity(db, { ...key, version: next, revokedOn: null, reason: null });
      await forgetExpired(db, now);
      await insertIssued(db, {
        serial: issued.serialNumber,
        accountId,
        authorityId: authority.id,
        scriptName,
        spiffeId,
        issuedOn: now.toISOString(),
        notAfter,
        revokedOn: null,
      });
      return { value: next, audit: null };
    });
    const { chain } = issued;
    return { spiffeId, chain, version, authorityId: authority.id, notBefore, notAfter };
  }

  /**
   * The CA that issues for an account, made when it is first needed.
   * @throws Failure `identity_authority_offline`
   */
  async authority(accountId: string): Promise<IdentityAuthorityRow> {
    const active = await activeAuthority(this.#options.store.db, accountId);
    if (active) return active;
    let making = this.#making.get(accountId);
    if (making === undefined) {
      making = this.#makeFirst(accountId).finally(() => this.#making.delete(accountId));
      this.#making.set(accountId, making);
    }
    return making;
  }

  /** @throws Failure if the CA's key cannot be unsealed */
  signer({ id, accountId, chain, sealedKey }: IdentityAuthorityRow): SigningAuthority {
    if (chain === null) {
      throw new Failure("identity_authority_offline", {
        message: `the identity CA ${id} waits for its certificate, which the root signs`,
      });
    }
    return { chain, key: this.#options.keyring.unseal(identityKeyPlace(accountId, id), sealedKey) };
  }

  /** The key of an intermediate that is not signed yet. @throws Failure if it cannot be unsealed */
  waitingKey({ id, accountId, sealedKey }: IdentityAuthorityRow): string {
    return this.#options.keyring.unseal(identityKeyPlace(accountId, id), sealedKey);
  }

  /** The root, if its key is stored here. Null: it is offline. @throws Failure if its key cannot be unsealed */
  root({ id, accountId, root, sealedRootKey }: IdentityAuthorityRow): SigningAuthority | null {
    if (sealedRootKey === null) return null;
    const key = this.#options.keyring.unseal(identityRootKeyPlace(accountId, id), sealedRootKey);
    return { chain: root, key };
  }

  async #makeFirst(accountId: string): Promise<IdentityAuthorityRow> {
    const { store } = this.#options;
    if ((await listAuthorities(store.db, accountId)).length > 0) {
      throw new Failure("identity_authority_offline", {
        message: `no identity CA of account ${accountId} is active`,
      });
    }
    const row = await this.newAuthority(accountId, 1, "active");
    await store.write(async ({ db, changed }) => {
      await insertAuthority(db, row);
      await changed({ kind: "identities", accountId });
      return {
        value: null,
        audit: {
          by: { kind: "system", id: null, email: "countersign", address: null },
          action: "identity.ca_create",
          accountId,
          resource: { type: "identity_ca", id: row.id },
          after: { number: 1, state: "active" },
        },
      };
    });
    return row;
  }

  /**
   * An intermediate under a root whose key is elsewhere; its request has to be signed there. Not stored yet.
   * @param root PEM, one certificate
   */
  async offlineAuthority(accountId: string, root: string): Promise<IdentityAuthorityRow> {
    const { keyring, clock } = this.#options;
    const id = randomUUID();
    const { csr, key } = await makeRequest("Countersign identities", accountId);
    const now = clock().toISOString();
    return {
      id,
      accountId,
      number: 0,
      state: "prepared",
      root,
      sealedRootKey: null,
      chain: null,
      rootCrl: null,
      csr,
      sealedKey: keyring.seal(identityKeyPlace(accountId, id), key),
      createdOn: now,
      changedOn: now,
    };
  }

  /** A root of the account's own and an intermediate under it, not stored yet. */
  async newAuthority(
    accountId: string,
    number: number,
    state: IdentityAuthorityRow["state"],
  ): Promise<IdentityAuthorityRow> {
    const { keyring, clock, trustDomain } = this.#options;
    const id = randomUUID();
    const now = clock();
    const names = { account: accountId, trustDomain };
    const root = await makeRoot(names, now);
    const { csr, key } = await makeRequest("Countersign identities", accountId);
    const chain = await signIntermediate(root, csr, { ...names, now });
    return {
      id,
      accountId,
      number,
      state,
      root: root.chain,
      sealedRootKey: keyring.seal(identityRootKeyPlace(accountId, id), root.key),
      chain,
      rootCrl: null,
      csr: null,
      sealedKey: keyring.seal(identityKeyPlace(accountId, id), key),
      createdOn: now.toISOString(),
      changedOn: now.toISOString(),
    };
  }
}

function identityRevoked(
  scriptName: string,
  revokedOn: string,
  reason: "revoked" | "deleted" | null,
): Failure {
  const why = reason === "deleted" ? "belonged to a Worker that was deleted on" : "was revoked on";
  return new Failure(reason === "deleted" ? "identity_deleted" : "identity_revoked", {
    message: `the identity of the Worker "${scriptName}" ${why} ${revokedOn}`,
    facts: { worker: scriptName, revokedOn },
  });
}
