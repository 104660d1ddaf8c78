declare const built: unique symbol;

/**
 * Where a sealed record belongs. It opens nowhere else: account, kind and id are authenticated with
 * it. Only the functions below make places, so that who seals and who opens agree.
 */
export interface Place {
  readonly account: string;
  readonly id: string;
  readonly kind:
    | "certificate-key"
    | "secret"
    | "webhook-secret"
    | "identity-key"
    | "access-key"
    | "host-key"
    | "acme-key"
    | "acme-external-key"
    | "database-password"
    | "local-authority-key"
    | "pull-authority-key"
    | "master-key-check"
    | "master-key"
    | "audit-head"
    | "secret-in-request"
    | "totp"
    | "oauth-proof";
  readonly [built]: true;
}

/** The private key of one version of a certificate. */
export function keyPlace(owner: {
  readonly accountId: string;
  readonly certificateId: string;
  readonly version: number;
}): Place {
  const { accountId, certificateId, version } = owner;
  return place("certificate-key", accountId, `${certificateId}/${version}`);
}

/** The same, where its id is all that is known: in the gateway, and in `countersign dev`. */
export function presentedKeyPlace(owner: {
  readonly accountId: string;
  readonly sealedId: string;
}): Place {
  return place("certificate-key", owner.accountId, owner.sealedId);
}

/** A secret of one version of a Worker. */
export function secretPlace(owner: {
  readonly accountId: string;
  readonly scriptName: string;
  readonly versionId: string;
  readonly name: string;
}): Place {
  const { accountId, scriptName, versionId, name } = owner;
  return place("secret", accountId, `${scriptName}/${versionId}/${name}`);
}

/** A secret that a version took over before secrets were sealed again for each. */
export function formerSecretPlace(accountId: string, sealedId: string): Place {
  return place("secret", accountId, sealedId);
}

/** What signs the messages to an account's webhook. */
export function webhookPlace(accountId: string): Place {
  return place("webhook-secret", accountId, "webhook");
}

/** The key of an identity CA. */
export function identityKeyPlace(accountId: string, authorityId: string): Place {
  return place("identity-key", accountId, authorityId);
}

/** The key of the root above it. */
export function identityRootKeyPlace(accountId: string, authorityId: string): Place {
  return place("identity-key", accountId, `${authorityId}/root`);
}

/** What a person's authenticator app shares with Countersign. */
export function totpPlace(userId: string): Place {
  return place("totp", "", userId);
}

/** What proves that the platform wrote a row of a login. */
export function oauthProofPlace(row: { readonly model: string; readonly idHash: string }): Place {
  return place("oauth-proof", "", `${row.model}/${row.idHash}`);
}

/** What signs the tokens of an account's Access. */
export function accessKeyPlace(accountId: string, id: string): Place {
  return place("access-key", accountId, id);
}

/** The key of a host's server certificate. */
export function hostKeyPlace(accountId: string, certificateId: string): Place {
  return place("host-key", accountId, certificateId);
}

/** The key of an account at an ACME server. */
export function acmeKeyPlace(accountId: string, id: string): Place {
  return place("acme-key", accountId, id);
}

/** The MAC key by which an account at an ACME server was opened. */
export function acmeExternalKeyPlace(accountId: string, id: string): Place {
  return place("acme-external-key", accountId, id);
}

/** The password of a Hyperdrive configuration. */
export function databasePasswordPlace(accountId: string, databaseId: string): Place {
  return place("database-password", accountId, databaseId);
}

/** The key of a CA of this installation that signs what origins are shown. */
export function pullAuthorityPlace(id: string): Place {
  return place("pull-authority-key", "", id);
}

/** What a request brings, on its way from the process that read it. In no store. */
export const requestPlace: Place = place("secret-in-request", "", "");

/** Of the whole store: one record of each. */
export const auditHeadPlace: Place = place("audit-head", "", "head");
export const auditBasePlace: Place = place("audit-head", "", "base");
export const localAuthorityPlace: Place = place("local-authority-key", "", "local");
export const masterKeyCheckPlace: Place = place("master-key-check", "", "store");
export const masterKeyChangePlace: Place = place("master-key", "", "store");

function place(kind: Place["kind"], account: string, id: string): Place {
  return { account, id, kind } as Place;
}
