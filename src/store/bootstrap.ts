import { createAccount, listAccounts } from "./access/accounts.ts";
import { guardNames } from "./access/guarded-rows.ts";
import type { Store } from "./store.ts";
import { createToken } from "./access/tokens.ts";

export interface FirstStart {
  readonly accountId: string;
  /** To be printed once: only its hash is kept. */
  readonly token: string;
}

export interface BootstrapOptions {
  /** What the first token may do. */
  readonly scopes: readonly string[];
  readonly now: Date;
}

/** Makes the first account and an API token for it. Null: there is an account already. */
export async function bootstrap(
  store: Store,
  options: BootstrapOptions,
): Promise<FirstStart | null> {
  const { scopes, now } = options;
  const { value } = await store.write(async ({ db }) => {
    if ((await listAccounts(db)).length > 0) return { value: null, audit: null };
    const account = await createAccount(db, { name: "Countersign", subdomain: "countersign", now });
    const { id, token } = await createToken(db, {
      accountId: account.id,
      name: "first start",
      email: "admin@localhost",
      scopes,
      expiresOn: null,
      now,
    });
    return {
      value: { accountId: account.id, token },
      audit: {
        by: { kind: "system", id: null, email: "admin@localhost", address: null },
        action: "account.create",
        accountId: account.id,
        resource: { type: "account", id: account.id, name: account.name },
        // Secrets are sealed for their version and name from the first one on: see `bindSecrets`.
        after: { firstToken: id, secretsBound: true },
        logged: guardNames,
      },
    };
  });
  return value;
}
