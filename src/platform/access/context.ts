import type { Keyring } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import { listAccounts } from "../../store/access/accounts.ts";
import type { AccountRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import type { Store } from "../../store/store.ts";

export interface AccessContext {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
}

/**
 * @param named an account's id or name. Undefined: the first account
 * @throws Failure `account_not_found`
 */
export async function accountNamed(db: Database, named: string | undefined): Promise<AccountRow> {
  const accounts = await listAccounts(db);
  const account =
    named === undefined
      ? accounts[0]
      : accounts.find(({ id, name }) => id === named || name === named);
  if (account) return account;
  throw new Failure("account_not_found", { message: `there is no account "${named}"` });
}
