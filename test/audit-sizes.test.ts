import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { scriptForm } from "./helpers/script-form.ts";

let control: TestControl;
before(async () => (control = await startControl()));
after(() => control[Symbol.asyncDispose]());

interface Shown {
  readonly newValueJson: Readonly<Record<string, unknown>>;
}

function routes(count: number): readonly object[] {
  const path = `${"x".repeat(900)}*`;
  return Array.from({ length: count }, (_, i) => ({ pattern: `r${i}.example/${path}` }));
}

async function audit(query: string): Promise<readonly Shown[]> {
  const path = `/accounts/${control.accountId}/audit_logs?${query}`;
  const { result, errors } = await control.call("GET", path);
  assert.deepEqual(errors, []);
  return result;
}

test("what a call says at length is in the log by its length and hash, and the log is whole", async () => {
  const script = `/accounts/${control.accountId}/workers/scripts/w`;
  assert.ok((await control.call("PUT", script, scriptForm())).success);
  for (const count of [1_000, 100]) {
    assert.ok((await control.call("PUT", `${script}/routes`, routes(count))).success);
  }
  const [short, long] = await audit("action.type=routes.replace");
  assert.equal((short!.newValueJson["patterns"] as string[]).length, 100);
  const { too_long: cut } = long!.newValueJson as { too_long: { characters: number } };
  assert.ok(cut.characters > 900_000, `${cut.characters}`);
  const { broken } = await checkAudit(control.store.db, control.keyring);
  assert.equal(broken, null);
});

test("a list of many long entries has all of them, and the values of the first", async () => {
  const { accountId, store } = control;
  for (let i = 0; i < 100; i += 1) {
    await store.write(async () => ({
      value: null,
      audit: {
        by: { kind: "system", id: null, email: "test@localhost", address: null },
        action: "access.filled",
        accountId,
        resource: { type: "test", id: `${i}` },
        after: { text: "x".repeat(120_000) },
      },
    }));
  }
  const all = await audit("action.type=access.filled&per_page=1000");
  const whole = all.map(({ newValueJson }) => newValueJson["text"] !== undefined);
  assert.equal(all.length, 100);
  assert.ok(whole.lastIndexOf(true) < 70, "8 MiB");
  assert.ok(whole.lastIndexOf(true) > 60);
  assert.deepEqual(all.at(-1)!.newValueJson, { left_out: "ask for fewer entries at once" });
  const last = await audit("action.type=access.filled&per_page=10&page=10");
  assert.equal((last.at(-1)!.newValueJson["text"] as string).length, 120_000);
});
