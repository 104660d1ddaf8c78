import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { copyDatabase } from "../src/platform/backup/storage.ts";
import { addValues } from "../src/platform/backup/values.ts";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const code = `const large = (n) => String(n).padEnd(200_000, "x");
async function inParts(env, key, n) {
  const upload = await env.FILES.createMultipartUpload(key);
  return upload.complete([await upload.uploadPart(1, large(n))]);
}
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/begin") {
      await env.KV.put("replaced", large(1));
      await env.KV.put("deleted", large(1));
      for (const key of ["replaced", "deleted", "becomes parts"]) await env.FILES.put(key, large(1));
      for (const key of ["parts", "becomes one"]) await inParts(env, key, 1);
      const upload = await env.FILES.createMultipartUpload("unfinished");
      await upload.uploadPart(1, large(1));
      return new Response(upload.uploadId);
    }
    await env.KV.put("replaced", large(2));
    await env.KV.delete("deleted");
    await env.FILES.delete("deleted");
    for (const key of ["replaced", "becomes one"]) await env.FILES.put(key, large(2));
    for (const key of ["parts", "becomes parts"]) await inParts(env, key, 2);
    await env.FILES.resumeMultipartUpload("unfinished", searchParams.get("upload")).uploadPart(1, large(2));
    return new Response("done");
  },
};`;

test("what Workers replace or delete while a backup reads is in it whole, as it was before or after, or not at all", async () => {
  await using platform = await startPlatform();
  const scratch = mkdtempSync(join(tmpdir(), "countersign-values-"));
  try {
    const api = async (method: string, path: string, body: unknown) => {
      const { json } = await platform.api(method, `/accounts/{account}${path}`, body);
      assert.ok(json.success, JSON.stringify(json.errors));
      return json.result;
    };
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "values" });
    await api("POST", "/r2/buckets", { name: "values" });
    const bindings = [
      { type: "kv_namespace", name: "KV", namespace_id: id },
      { type: "r2_bucket", name: "FILES", bucket_name: "values" },
    ];
    const modules = { "index.js": ["application/javascript+module", code] } as const;
    const form = scriptForm({ compatibility_date: "2026-11-01", bindings }, modules);
    await api("PUT", "/workers/scripts/values", form);
    const { body: upload } = await platform.worker("values", "/begin");
    const storage = join(platform.dataFolder, "storage");
    const data = `${platform.ready.accountId}/data`;
    const databases = ["kv", "r2"].map((kind) => {
      const name = readdirSync(join(storage, data, kind, kind)).find((one) =>
        /^[0-9a-f]{64}\.sqlite$/.test(one),
      );
      const path = `${data}/${kind}/${kind}/${name}`;
      const copied = { path, live: join(storage, path), copy: join(scratch, kind) };
      copyDatabase(copied.live, copied.copy, scratch);
      return copied;
    });
    const { body: done } = await platform.worker("values", `/replace?upload=${upload}`);
    assert.equal(done, "done", platform.log());
    // What was replaced is removed a moment later.
    const filesIn = (at: string): number =>
      readdirSync(join(storage, at), { recursive: true, withFileTypes: true }).filter((one) =>
        one.isFile(),
      ).length;
    await until(
      () => filesIn(`${data}/kv-blobs`) === 1 && filesIn(`${data}/r2/values/blobs`) === 5,
    );
    const added = new Set<string>();
    for (const database of databases) {
      addValues(database, {
        has: (name) => added.has(name),
        add: (path) => {
          if (!existsSync(join(storage, path))) return false;
          added.add(basename(path));
          return true;
        },
        namesIn: (folder) => readdirSync(join(storage, folder)),
      });
    }
    assert.equal(added.size, 6);
    const rows = (kind: string, sql: string): unknown[] => {
      using copy = new DatabaseSync(join(scratch, kind));
      return copy
        .prepare(sql)
        .all()
        .map((row) => Object.values(row).join(" "));
    };
    assert.deepEqual(rows("kv", "SELECT key FROM entries WHERE blob IS NOT NULL"), ["replaced"]);
    assert.deepEqual(
      rows(
        "r2",
        `SELECT key, o.blob_id IS NULL, count(p.blob_id) FROM _mf_objects o
          LEFT JOIN _mf_multipart_parts p ON p.object_key = key GROUP BY key ORDER BY key`,
      ),
      ["becomes one 0 0", "becomes parts 1 1", "parts 1 1", "replaced 0 0"],
    );
    const files = "SELECT blob_id FROM _mf_objects UNION SELECT blob_id FROM _mf_multipart_parts";
    const named = [...rows("r2", files), ...rows("kv", "SELECT blob FROM entries")];
    assert.deepEqual(
      named.filter((file) => file !== "" && !added.has(basename(String(file)))),
      [],
    );
    assert.equal(
      rows("r2", "SELECT 1 FROM _mf_multipart_parts WHERE object_key IS NULL").length,
      1,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
