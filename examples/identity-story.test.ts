import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { withoutPostgres } from "../test/helpers/postgres.ts";

const root = join(import.meta.dirname, "..");

test(
  "npm run demo -- identity tells the whole story, and every attacker is refused with a code",
  { skip: withoutPostgres, timeout: 120_000 },
  () => {
    const run = spawnSync(process.execPath, ["demo/main.ts", "identity"], {
      cwd: root,
      encoding: "utf8",
      timeout: 110_000,
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    for (const said of [
      /c POST \/orders\/first-c: 403 .*method_not_allowed/,
      /A: [1-9]\d* writes acknowledged, all there/,
      /none refused, none failed/,
      /c as writer: 403 FATAL: certificate authentication failed/,
      /certificate_missing .*decrypt_error .*certificate_authority_mismatch .*certificate_expired .*certificate_revoked .*session_revoked .*caller_not_named .*identity_deleted .*certificate_untrusted /s,
      /PostgreSQL: .*decrypt_error .*unknown_ca .*certificate authentication failed/s,
      /demo passed in/,
    ]) {
      assert.match(run.stdout, said);
    }
  },
);
