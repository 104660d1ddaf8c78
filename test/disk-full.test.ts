import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-full-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]).status === 0;
if (!mounted) rmSync(folder, { recursive: true });

test(
  "a disk that is full is 507 disk_full over the API, and all goes on once there is room",
  { skip: mounted ? false : "no file system can be mounted here" },
  async () => {
    try {
      await using platform = await startPlatform({ dataFolder: folder });
      const database = await platform.api("POST", "/accounts/{account}/d1/database", { name: "d" });
      const query = (sql: string) =>
        platform.api("POST", `/accounts/{account}/d1/database/${database.json.result.uuid}/query`, {
          sql,
        });
      await query("CREATE TABLE a (x)");
      await platform.api("POST", "/accounts/{account}/r2/buckets", { name: "files" });
      const queue = await platform.api("POST", "/accounts/{account}/queues", { queue_name: "q" });
      const messages = `/accounts/{account}/queues/${queue.json.result.queue_id}/messages`;
      const sent = () => platform.api("POST", messages, { body: "x".repeat(100_000) });
      assert.equal((await sent()).status, 200);
      const namespace = await platform.api("POST", "/accounts/{account}/storage/kv/namespaces", {
        title: "values",
      });
      const bindings = [{ type: "r2_bucket", name: "FILES", bucket_name: "files" }];
      const form = scriptForm(
        { compatibility_date: "2026-11-01", bindings },
        { "index.js": ["application/javascript+module", PUTS] },
      );
      await platform.api("PUT", "/accounts/{account}/workers/scripts/puts", form);
      assert.equal((await platform.worker("puts", "/1000")).body, "1000");
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
      const insert = "INSERT INTO a VALUES (zeroblob(500000))";
      const refused = await query(insert);
      // SQLite finds no room, or workerd's own tables in the database do not.
      const told = JSON.stringify(refused.json);
      assert.match(told, /"failure":"(disk_full|storage_unavailable)"/);
      assert.ok([503, 507].includes(refused.status), told);
      assert.equal((await query("SELECT * FROM nowhere")).status, 400, "the statement's own fault");
      // So may its log.
      let message = await sent();
      for (let n = 0; message.status === 200 && n < 100; n += 1) message = await sent();
      assert.equal(message.status, 507, JSON.stringify(message.json));
      for (const [store, place] of [
        ["KV", `/storage/kv/namespaces/${namespace.json.result.id}/values/a`],
        ["R2", "/r2/buckets/files/objects/a"],
      ] as const) {
        const { status, text } = await upload(platform, place, 6_000_000);
        assert.equal(status, 507, `${store}: ${text}`);
        assert.match(text, /disk_full/);
      }
      // One of three waited for ever.
      for (let n = 0; n < 8; n += 1) {
        const signal = AbortSignal.timeout(30_000);
        const answered = await Promise.race([
          platform.worker("puts", "/6000000"),
          once(signal, "abort"),
        ]);
        assert.ok("body" in answered, "put() answers");
        assert.match(answered.body, /^Error: put: /);
      }
      rmSync(join(folder, "filling"));
      assert.equal((await query(insert)).status, 200);
      assert.equal((await platform.worker("puts", "/1000000")).body, "1000000");
      assert.equal((await platform.api("PUT", path, { url: url(0) })).status, 200);
    } finally {
      spawnSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

const PUTS = `export default {
  async fetch(request, env) {
    const size = Number(new URL(request.url).pathname.slice(1));
    return new Response(await env.FILES.put("file", new Uint8Array(size)).then((file) => file.size, String));
  },
};`;

/** A value of KV, or an object of R2. */
async function upload(
  { ready }: TestPlatform,
  path: string,
  bytes: number,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${ready.api}/accounts/${ready.accountId}${path}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${ready.token}` },
    body: new Uint8Array(bytes),
  });
  return { status: response.status, text: await response.text() };
}

function url(n: number): string {
  return `https://example.com/${"x".repeat(1500)}/${n}`;
}
