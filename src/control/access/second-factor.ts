import { Secret, TOTP } from "otpauth";
import { totpPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import type { UserRow } from "../../store/schema.ts";
import {
  confirmSecondFactor,
  findSecondFactor,
  setSecondFactor,
  useRecoveryCode,
  useStep,
} from "../../store/access/second-factors.ts";
import { makePassword } from "./passwords.ts";

type Person = Pick<UserRow, "id" | "email">;

/** Seconds; the value that every authenticator app expects (RFC 6238). */
const PERIOD = 30;
const RECOVERY_CODES = 10;

/** Begins to enrol a person. @returns the `otpauth://` URI, which contains the secret */
export async function beginSecondFactor(
  db: Database,
  keyring: Keyring,
  user: Person,
): Promise<string> {
  const secret = new Secret({ size: 20 }).base32;
  const sealedSecret = keyring.seal(totpPlace(user.id), secret);
  await setSecondFactor(db, { userId: user.id, sealedSecret });
  return totpOf(secret, user).toString();
}

/**
 * Checks that the person's app has the secret. From then on each sign-in asks for a code.
 * @returns recovery codes, each for one sign-in; they are shown once
 */
export async function finishSecondFactor(
  db: Database,
  keyring: Keyring,
  { user, code, now }: { user: Person; code: string; now: Date },
): Promise<readonly string[]> {
  const row = await findSecondFactor(db, user.id);
  if (!row || row.confirmedOn !== null) throw new Failure("second_factor_not_begun");
  const step = stepOf(
    totpOf(keyring.unseal(totpPlace(user.id), row.sealedSecret), user),
    code,
    now,
  );
  if (step === null) throw new Failure("sign_in_code_wrong");
  const codes = Array.from({ length: RECOVERY_CODES }, () => makePassword().slice(0, 16));
  await confirmSecondFactor(db, user.id, { step, codes, now });
  return codes;
}

export async function hasSecondFactor(db: Database, userId: string): Promise<boolean> {
  return (await findSecondFactor(db, userId))?.confirmedOn != null;
}

/**
 * Accepts a code of the person's app or a recovery code, each once.
 * @returns which of the two it was. Null: neither
 */
export async function useCode(
  db: Database,
  keyring: Keyring,
  { user, code, now }: { user: Person; code: string; now: Date },
): Promise<"code" | "recovery" | null> {
  const row = await findSecondFactor(db, user.id);
  if (!row || row.confirmedOn === null) return null;
  const said = code.replaceAll(/[\s-]/g, "").toLowerCase();
  const secret = keyring.unseal(totpPlace(user.id), row.sealedSecret);
  const step = stepOf(totpOf(secret, user), said, now);
  if (step !== null) return (await useStep(db, user.id, step)) ? "code" : null;
  return (await useRecoveryCode(db, user.id, said)) ? "recovery" : null;
}

function totpOf(secret: string, { email }: Person): TOTP {
  return new TOTP({ issuer: "Countersign", label: email, secret, period: PERIOD });
}

/** The 30-second step of the code: the current one, the one before or the one after. Null: another one. */
function stepOf(totp: TOTP, code: string, now: Date): number | null {
  if (!/^\d{6}$/.test(code)) return null;
  const delta = totp.validate({ token: code, window: 1, timestamp: now.getTime() });
  return delta === null ? null : Math.floor(now.getTime() / 1000 / PERIOD) + delta;
}
