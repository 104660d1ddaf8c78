import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, it } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("what `audit verify` compares", () => {
  let parent: string;
  let platform: TestPlatform;
  let folder: string;
  before(async () => {
    parent = mkdtempSync(join(tmpdir(), "countersign-audit-"));
    folder = join(parent, "data");
    platform = await startPlatform({ dataFolder: folder });
    await done("user", "add", "ada@example.com", "--role", "admin");
    const zone = { name: "example.com", account: { id: platform.ready.accountId } };
    const { json } = await platform.api("POST", "/zones", zone);
    const records = `/zones/${json.result.id}/dns_records`;
    const record = { type: "A", name: "a.example.com", content: "192.0.2.1", proxied: true };
    assert.equal((await platform.api("POST", records, record)).status, 200);
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(parent, { recursive: true });
  });

  const run = (...args: string[]): ReturnType<typeof countersign> =>
    countersign([...args, "--data", folder]);
  const done = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(...args);
    assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  /** Somebody who can write to the database's file, and has no master key. */
  const byHand = (sql: string): void => {
    const database = new DatabaseSync(join(folder, "countersign.db"));
    database.exec(sql);
    database.close();
  };
  const whole = async (): Promise<void> => {
    assert.match(await done("audit", "verify"), /none changed, none missing/);
  };
  const found = async (): Promise<void> => {
    for (const [there, back, what] of [
      ["update dns_records set content = '192.0.2.66'", "update dns_records set content = '192.0.2.1'", /^the DNS record [0-9a-f]+ is not as it was logged last\. The log is whole, and ends at \d+:/], // prettier-ignore
      ["update memberships set role = 'viewer'", "update memberships set role = 'admin'", /^the role of the person /], // prettier-ignore
    ] as const) {
      byHand(there);
      const { status, stdout } = await run("audit", "verify", "--json");
      const { code, message } = (
        JSON.parse(stdout) as { error: Record<"code" | "message", string> }
      ).error;
      assert.equal(status, 1);
      assert.equal(code, "audit_rows_changed");
      assert.match(message, what);
      byHand(back);
      await whole();
    }
  };

  it("is so from the start on", found);

  it("is so after the master key was exchanged", async () => {
    await whole();
    await done("keys", "rotate", "--yes");
    await whole();
    await found();
  });

  it("is so in a restored backup, and after the master key was exchanged there", async () => {
    const file = join(parent, "backup.db");
    await done("backup", file);
    await platform.end("SIGTERM");
    const { token } = platform.ready;
    const masterKey = join(folder, "master.key");
    folder = join(parent, "restored");
    await done("restore", file);
    copyFileSync(masterKey, join(folder, "master.key"));
    platform = await startPlatform({ dataFolder: folder, token });
    await whole();
    await found();
    await done("keys", "rotate", "--yes");
    await found();
  });

  it("is told of a change that the API came upon, until its entry is named", async () => {
    byHand("update memberships set role = 'viewer'");
    await done("user", "role", "ada@example.com", "deployer");
    const { status, stderr } = await run("audit", "verify");
    assert.equal(status, 1);
    const [, head] = /changed in the database alone, before entry \d+ changed it\. .* ends at (\d+:\w+)/.exec(stderr)!; // prettier-ignore
    assert.match(await done("audit", "verify", "--head", head!), /none changed, none missing/);
  });
});
