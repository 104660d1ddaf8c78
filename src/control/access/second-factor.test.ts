import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { TOTP, URI } from "otpauth";
import { engines, testKeyring, writable } from "../../../test/helpers/database.ts";
import { createUser } from "../../store/access/users.ts";
import type { Database } from "../../store/database.ts";
import type { UserRow } from "../../store/schema.ts";
import {
  beginSecondFactor,
  finishSecondFactor,
  hasSecondFactor,
  useCode,
} from "./second-factor.ts";

const now = new Date("2026-11-26T12:00:10.000Z");
const PERIOD = 30_000;
let db: Database;
let user: UserRow;

beforeEach(async () => {
  db = writable(await engines["SQLite"]!());
  user = await createUser(db, { email: "a@example.com", passwordHash: "", now });
});

function at(milliseconds: number): Date {
  return new Date(now.getTime() + milliseconds);
}

async function begun(): Promise<TOTP> {
  const app = URI.parse(await beginSecondFactor(db, testKeyring, user));
  assert.ok(app instanceof TOTP);
  return app;
}

/** An app that was enrolled and confirmed at `now`, and its recovery codes. */
async function enrolled(): Promise<{ app: TOTP; codes: readonly string[] }> {
  const app = await begun();
  const code = app.generate({ timestamp: now.getTime() });
  return { app, codes: await finishSecondFactor(db, testKeyring, { user, code, now }) };
}

function use(code: string, when = now): Promise<"code" | "recovery" | null> {
  return useCode(db, testKeyring, { user, code, now: when });
}

test("an app gets what every app expects, and whose it is", async () => {
  const app = await begun();
  assert.deepEqual(
    [app.issuer, app.label, app.period, app.digits, app.algorithm, app.secret.bytes.length],
    ["Countersign", "a@example.com", 30, 6, "SHA1", 20],
  );
  assert.notEqual((await begun()).secret.base32, app.secret.base32);
});

test("nothing is asked for before the app has proved that it has the secret", async () => {
  const app = await begun();
  assert.equal(await hasSecondFactor(db, user.id), false);
  assert.equal(await use(app.generate({ timestamp: now.getTime() })), null);
  for (const code of ["000000x", "12345", "1234567", ""]) {
    await assert.rejects(finishSecondFactor(db, testKeyring, { user, code, now }), {
      code: "sign_in_code_wrong",
    });
  }
  const code = app.generate({ timestamp: now.getTime() });
  await finishSecondFactor(db, testKeyring, { user, code, now });
  assert.equal(await hasSecondFactor(db, user.id), true);
  await assert.rejects(finishSecondFactor(db, testKeyring, { user, code, now }), {
    code: "second_factor_not_begun",
  });
});

test("without a begin there is nothing to finish, and no code to use", async () => {
  await assert.rejects(finishSecondFactor(db, testKeyring, { user, code: "123456", now }), {
    code: "second_factor_not_begun",
  });
  assert.equal(await use("123456"), null);
});

test("a code is good once, as are those before it; the one after it is still to come", async () => {
  const { app } = await enrolled();
  const code = (steps: number): string =>
    app.generate({ timestamp: now.getTime() + steps * PERIOD });
  assert.equal(await use(code(0)), null, "it confirmed the app");
  assert.equal(await use(code(-1)), null);
  assert.equal(await use(code(1)), "code");
  assert.equal(await use(code(1)), null);
  assert.equal(await use(code(2), at(PERIOD)), "code");
});

test("a code counts for half a minute before and after its own, and no longer", async () => {
  const { app } = await enrolled();
  const code = app.generate({ timestamp: now.getTime() + 10 * PERIOD });
  assert.equal(await use(code, at(8 * PERIOD)), null);
  assert.equal(await use(code, at(12 * PERIOD)), null);
  assert.equal(await use(code, at(11 * PERIOD)), "code");
});

test("a code may be written with spaces and hyphens", async () => {
  const { app, codes } = await enrolled();
  const code = app.generate({ timestamp: now.getTime() + PERIOD });
  assert.equal(await use(` ${code.slice(0, 3)} ${code.slice(3)} `), "code");
  assert.equal(await use(codes[0]!.toUpperCase().replaceAll(/(.{4})/g, "$1-")), "recovery");
});

test("ten recovery codes are good once each, and for their person alone", async () => {
  const { codes } = await enrolled();
  assert.equal(new Set(codes).size, 10);
  for (const code of codes) assert.match(code, /^[a-km-np-z2-9]{16}$/);
  const other = await createUser(db, { email: "b@example.com", passwordHash: "", now });
  user = other;
  await enrolled();
  assert.equal(await use(codes[0]!), null);
});

test("a recovery code that was used is used up", async () => {
  const { codes } = await enrolled();
  assert.equal(await use(codes[3]!), "recovery");
  assert.equal(await use(codes[3]!), null);
  assert.equal(await use(codes[4]!), "recovery");
});
