import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startPlatform } from "./helpers/platform.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-full-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]).status === 0;
if (!mounted) rmSync(folder, { recursive: true });

test(
  "a disk that is full is 507 disk_full over the API, and all goes on once there is room",
  { skip: mounted ? false : "no file system can be mounted here" },
  async () => {
    try {
      await using platform = await startPlatform({ dataFolder: folder });
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(join(folder, "filling"), Buffer.alloc(Math.max(0, bavail * bsize)));
      const path = "/accounts/{account}/countersign/webhook";
      // The database may have free pages left.
      let answer = await platform.api("PUT", path, { url: url(0) });
      for (let n = 1; answer.status === 200 && n < 400; n += 1) {
        answer = await platform.api("PUT", path, { url: url(n) });
      }
      assert.equal(answer.status, 507, JSON.stringify(answer.json));
      assert.match(JSON.stringify(answer.json.errors), /disk_full/);
      rmSync(join(folder, "filling"));
      assert.equal((await platform.api("PUT", path, { url: url(0) })).status, 200);
    } finally {
      spawnSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

function url(n: number): string {
  return `https://example.com/${"x".repeat(1500)}/${n}`;
}
