import { setTimeout as pause } from "node:timers/promises";
import { Failure } from "../../failures/failures.ts";
import { exclusiveLock } from "../../platform/exclusive-lock.ts";
import type { Io } from "../../terminal/io.ts";
import { loginFile } from "./login-file.ts";

/** ms that a command waits for another to renew the login. */
const WAIT = 60_000;

/** ms between two looks. */
const PAUSE = 50;

/**
 * Waits until no other command renews the login, and keeps others waiting until the returned function is called.
 * @throws Failure `login_busy`
 */
export async function lockLogin(io: Io): Promise<() => void> {
  const file = `${loginFile(io)}.lock`;
  const until = Date.now() + WAIT;
  for (;;) {
    try {
      return exclusiveLock(file);
    } catch (cause) {
      if (Date.now() > until || !isBusy(cause)) {
        throw new Failure("login_busy", {
          message: `the login cannot be renewed: the lock "${file}" is not free (${(cause as Error).message})`,
          cause,
        });
      }
    }
    await pause(PAUSE);
  }
}

/** https://www.sqlite.org/rescode.html#busy */
function isBusy(error: unknown): boolean {
  return (error as { readonly errcode?: number }).errcode === 5;
}
