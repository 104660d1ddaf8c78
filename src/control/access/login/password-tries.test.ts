import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { openStore } from "../../../store/store.ts";
import { PasswordTries } from "./password-tries.ts";

test("an address has 30 wrong passwords, whoever they are for; another is not concerned", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-tries-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await using store = await openStore(join(folder, "db"));
  const tries = new PasswordTries(store, async () => false);
  const codeOf = (name: string, address: string): Promise<string> =>
    tries.check(`${name}@example.com`, "wrong", address).then(
      () => "signed in",
      (error: { code: string }) => error.code,
    );
  for (let i = 0; i < 30; i += 1)
    assert.equal(await codeOf(`p${i}`, "192.0.2.1"), "sign_in_failed");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let said: string | null = null;
  const late = codeOf("p31", "192.0.2.1").then((code) => (said = code));
  for (let i = 0; i < 20; i += 1) await turn();
  t.mock.timers.tick(1_999);
  await turn();
  assert.equal(said, null, "the answer is held back");
  t.mock.timers.tick(1);
  assert.equal(await late, "too_many_tries");
  assert.equal(await codeOf("p31", "192.0.2.2"), "sign_in_failed");
});
