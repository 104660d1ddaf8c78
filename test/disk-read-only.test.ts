import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-read-only-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]).status === 0;
if (!mounted) rmSync(folder, { recursive: true });

test(
  "a data folder that has become read-only can be backed up, after a kill too, and no platform starts on it",
  { skip: mounted ? false : "no file system can be mounted here" },
  async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "countersign-rescued-"));
    try {
      let token: string | undefined;
      let query = "";
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const platform = await startPlatform({
          dataFolder: folder,
          ...(token !== undefined && { token }),
        });
        token = platform.ready.token;
        if (query === "") {
          const database = "/accounts/{account}/d1/database";
          const made = await platform.api("POST", database, { name: "d" });
          query = `${database}/${made.json.result.uuid}/query`;
        }
        const sql = "CREATE TABLE IF NOT EXISTS a (x); INSERT INTO a VALUES (42)";
        assert.equal((await platform.api("POST", query, { sql })).status, 200);
        await platform.end(signal);
        // Processes of a platform that was killed have files open until they notice.
        await until(() => spawnSync("mount", ["-o", "remount,ro", folder]).status === 0);
        const started = await countersign(["start", "--data", folder, "--json"]);
        assert.equal(started.status, 1);
        assert.match(started.stdout, /data_folder_read_only/);
        const saved = await countersign(["backup", join(elsewhere, signal), "--data", folder]);
        assert.equal(saved.status, 0, `${signal}: ${saved.stderr}`);
        assert.equal(spawnSync("mount", ["-o", "remount,rw", folder]).status, 0);
      }
      const data = join(elsewhere, "data");
      const restored = await countersign(["restore", join(elsewhere, "SIGKILL"), "--data", data]);
      assert.equal(restored.status, 0, restored.stderr);
      copyFileSync(join(folder, "master.key"), join(data, "master.key"));
      await using again = await startPlatform({
        dataFolder: data,
        ...(token !== undefined && { token }),
      });
      const found = await again.api("POST", query, { sql: "SELECT x FROM a" });
      assert.deepEqual(found.json.result[0].results, [{ x: 42 }, { x: 42 }]);
    } finally {
      spawnSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
      rmSync(elsewhere, { recursive: true, force: true });
    }
  },
);
