import assert from "node:assert/strict";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { ask } from "../src/edge/storage/ask.ts";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

/** Runs the statement in `?run=` with its bindings, and answers with the result. */
const runs = (cases: Readonly<Record<string, string>>): string => `export default {
  async fetch(request, env) {
    const run = { ${Object.entries(cases)
      .map(([name, code]) => `${name}: async () => ${code}`)
      .join(", ")} };
    try {
      return Response.json(await run[new URL(request.url).pathname.slice(1)]());
    } catch (error) {
      return Response.json({ error: String(error) });
    }
  },
};`;

const bindings = (namespace: string, name: string): object => ({
  bindings: [
    { type: "kv_namespace", name: "KV", namespace_id: namespace },
    { type: "ratelimit", name: "LIMIT", namespace_id: "1", simple: { limit: 2, period: 60 } },
    { type: "analytics_engine", name: "POINTS", dataset: "points" },
    { type: "plain_text", name: "NAME", text: name },
  ],
});

describe("what Workers keep", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const api = async (method: string, path: string, body?: unknown): Promise<any> => {
    const { json } = await platform.api(method, `/accounts/{account}${path}`, body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return json.result;
  };
  const deploy = (name: string, code: string, metadata: object): Promise<any> =>
    api(
      "PUT",
      `/workers/scripts/${name}`,
      scriptForm(
        { compatibility_date: "2026-11-01", ...metadata },
        { "index.js": ["application/javascript+module", code] },
      ),
    );
  const ask1 = async (name: string, path: string): Promise<any> =>
    JSON.parse((await platform.worker(name, `/${path}`)).body);

  it("a value larger than KV takes is refused before it is read", async () => {
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "large" });
    const { api: base, accountId, token } = platform.ready;
    const path = `${base}/accounts/${accountId}/storage/kv/namespaces/${id}/values/key`;
    const put = (body: Buffer<ArrayBuffer>) =>
      fetch(path, { method: "PUT", headers: { authorization: `Bearer ${token}` }, body });
    assert.equal((await put(Buffer.alloc(26 * 1024 * 1024 + 1))).status, 413);
    assert.equal((await put(Buffer.alloc(1024))).status, 200);
  });

  it("KV, R2, rate limits and datasets of one Worker are another's only where it binds them", async () => {
    const one = await api("POST", "/storage/kv/namespaces", { title: "one" });
    const two = await api("POST", "/storage/kv/namespaces", { title: "two" });
    const code = runs({
      write: `{ await env.KV.put("key", env.NAME); await env.KV.put("large", new Uint8Array(100_000)); return null; }`,
      read: `[await env.KV.get("key"), (await env.KV.get("large", "arrayBuffer"))?.byteLength ?? null]`,
      limit: `Promise.all([1, 2, 3].map(() => env.LIMIT.limit({ key: "a" })))`,
      point: `{ env.POINTS.writeDataPoint({ indexes: ["i"], blobs: ["b"], doubles: [1.5] }); return null; }`,
    });
    await deploy("first", code, bindings(one.id, "first"));
    await deploy("second", code, bindings(two.id, "second"));
    await deploy("third", code, bindings(one.id, "third"));
    assert.equal(await ask1("first", "write"), null, platform.log());
    assert.deepEqual(await ask1("second", "read"), [null, null]);
    assert.deepEqual(await ask1("third", "read"), ["first", 100_000]);
    // workerd counts by the clock's minutes, so all six calls must fall into one.
    const left = 60_000 - (Date.now() % 60_000);
    if (left < 10_000) await setTimeout(left + 100);
    const passed = [...(await ask1("first", "limit")), ...(await ask1("second", "limit"))];
    assert.equal(passed.filter(({ success }) => success).length, 2);
    assert.equal(await ask1("first", "point"), null);
  });

  it("a D1 database and an R2 bucket are the same to their Worker and to the API", async () => {
    const { uuid } = await api("POST", "/d1/database", { name: "notes" });
    const sql =
      "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO notes (text) VALUES ('one')";
    await api("POST", `/d1/database/${uuid}/query`, { sql });
    await api("POST", "/r2/buckets", { name: "files" });
    const code = runs({
      add: `env.DB.batch([env.DB.prepare("INSERT INTO notes (text) VALUES (?)").bind("two"), env.DB.prepare("SELECT text FROM notes ORDER BY id")]).then(([, { results }]) => results)`,
      wrong: `env.DB.prepare("SELECT x FROM nowhere").all()`,
      put: `env.FILES.put("a/b c.txt", "from the Worker", { httpMetadata: { contentType: "text/plain" } }).then(({ size }) => size)`,
      get: `env.FILES.get("x/ü.txt").then((object) => object.text())`,
    });
    const metadata = {
      bindings: [
        { type: "d1", name: "DB", id: uuid },
        { type: "r2_bucket", name: "FILES", bucket_name: "files" },
      ],
    };
    await deploy("files", code, metadata);
    assert.deepEqual(await ask1("files", "add"), [{ text: "one" }, { text: "two" }]);
    assert.match((await ask1("files", "wrong")).error, /no such table: nowhere/);
    const [{ results }] = await api("POST", `/d1/database/notes/query`, {
      sql: "SELECT count(*) AS n FROM notes WHERE text <> ?",
      params: ["none"],
    });
    assert.deepEqual(results, [{ n: 2 }]);
    const { num_tables } = await api("GET", `/d1/database/notes`);
    assert.equal(num_tables, 1);
    assert.equal(await ask1("files", "put"), 15);
    const url = `${platform.ready.api}/accounts/${platform.ready.accountId}/r2/buckets/files/objects/`;
    const headers = { authorization: `Bearer ${platform.ready.token}`, "content-type": "text/x" };
    const got = await fetch(`${url}a/b%20c.txt`, { headers });
    assert.deepEqual(
      [got.status, await got.text(), got.headers.get("content-type")],
      [200, "from the Worker", "text/plain"],
    );
    assert.equal(
      (await fetch(`${url}x/%C3%BC.txt`, { method: "PUT", headers, body: "from the API" })).status,
      200,
    );
    assert.equal(await ask1("files", "get"), "from the API");
    const full = await platform.api("DELETE", "/accounts/{account}/r2/buckets/files");
    assert.equal(full.json.errors[0]!.code, 10008);
    const flagged = { ...metadata, compatibility_flags: ["d1_binding_jsrpc"] };
    await assert.rejects(deploy("flagged", code, flagged), /d1_binding_jsrpc is experimental/);
  });

  it("SQL of several statements has a result for each, and all or none of them count", async () => {
    const { uuid } = await api("POST", "/d1/database", { name: "several" });
    const query = (sql: string, how = "query") =>
      api("POST", `/d1/database/${uuid}/${how}`, { sql });
    const made = await query(`CREATE TABLE a (x TEXT); CREATE TABLE b (x TEXT); -- a comment;
      CREATE TRIGGER t AFTER INSERT ON a BEGIN
        INSERT INTO b VALUES (CASE WHEN new.x = ';' THEN 'semicolon' ELSE 'other' END);
        INSERT INTO b VALUES ('second; statement');
      END;
      INSERT INTO a VALUES (';');`);
    assert.equal(made.length, 4);
    const [first, second] = await query(`SELECT x FROM a; SELECT x FROM b /* ; */`);
    assert.deepEqual(first.results, [{ x: ";" }]);
    assert.deepEqual(second.results, [{ x: "semicolon" }, { x: "second; statement" }]);
    const raw = await query("SELECT 1 AS one; SELECT 2 AS two", "raw");
    assert.deepEqual(
      raw.map(({ results }: { results: { rows: unknown } }) => results.rows),
      [[[1]], [[2]]],
    );
    await assert.rejects(query("INSERT INTO a VALUES ('lost'); INSERT INTO nowhere VALUES (1)"));
    assert.deepEqual((await query("SELECT count(*) AS n FROM a"))[0].results, [{ n: 1 }]);
    // As many as a large migration has, and longer together than one statement may be.
    assert.equal((await query("INSERT INTO a VALUES ('many');".repeat(5000))).length, 5000);
    assert.deepEqual((await query("SELECT count(*) AS n FROM a"))[0].results, [{ n: 5001 }]);
    await assert.rejects(query("SELECT 1;".repeat(10_001)), /10001 statements in one query/);
    const replicas = (mode: string) =>
      api("PUT", `/d1/database/${uuid}`, { read_replication: { mode } });
    assert.deepEqual((await replicas("disabled")).read_replication, { mode: "disabled" });
    await assert.rejects(replicas("auto"), /no replicas/);
  });

  it("a file of SQL that is larger than 32 MiB is imported, all of it or nothing", async () => {
    const { uuid } = await api("POST", "/d1/database", { name: "large" });
    const insert = `INSERT INTO kept VALUES ('${"x".repeat(1_000)}');\n`.repeat(40_000);
    const run = async (sql: string): Promise<unknown> => {
      const path = `/d1/database/${uuid}/import`;
      const { upload_url, filename } = await api("POST", path, { action: "init" });
      assert.equal((await fetch(upload_url, { method: "PUT", body: sql })).status, 200);
      return api("POST", path, { action: "ingest", filename });
    };
    await run(`CREATE TABLE kept (text TEXT);\n${insert}`);
    await assert.rejects(run(`${insert}INSERT INTO nowhere VALUES (1);`), /no such table: nowhere/);
    const sql = "SELECT count(*) AS n FROM kept";
    const [{ results }] = await api("POST", `/d1/database/${uuid}/query`, { sql });
    assert.deepEqual(results, [{ n: 40_000 }]);
  });

  it("a bucket that is deleted takes its unfinished uploads along: one of its name knows none of them", async () => {
    await api("POST", "/r2/buckets", { name: "parts" });
    const code = runs({
      begin: `{ const { uploadId } = await env.FILES.createMultipartUpload("large");
        const part = await env.FILES.resumeMultipartUpload("large", uploadId).uploadPart(1, new Uint8Array(1_000_000));
        return { uploadId, part }; }`,
      complete: `{ const { uploadId, part } = JSON.parse(env.BEGUN);
        return (await env.FILES.resumeMultipartUpload("large", uploadId).complete([part])).size; }`,
    });
    const bucket = { type: "r2_bucket", name: "FILES", bucket_name: "parts" };
    await deploy("parts", code, { bindings: [bucket] });
    const begun = { type: "plain_text", name: "BEGUN", text: "" };
    const begin = async (): Promise<void> => {
      begun.text = JSON.stringify(await ask1("parts", "begin"));
      await deploy("parts", code, { bindings: [bucket, begun] });
    };
    await begin();
    // The same upload in a bucket that still exists can be completed.
    assert.equal(await ask1("parts", "complete"), 1_000_000);
    await api("DELETE", "/r2/buckets/parts/objects/large");
    await begin();
    const kept = join(platform.dataFolder, "storage", platform.ready.accountId, "data/r2/parts");
    assert.ok(readdirSync(join(kept, "blobs")).length > 0);
    await deploy("parts", code, {});
    await api("DELETE", "/r2/buckets/parts");
    assert.ok(!existsSync(kept), "nothing of it is on the disk");
    await api("POST", "/r2/buckets", { name: "parts" });
    await deploy("parts", code, { bindings: [bucket, begun] });
    assert.match((await ask1("parts", "complete")).error, /^Error: completeMultipartUpload: /);
    assert.equal((await ask1("parts", "begin")).part.partNumber, 1);
  });

  it("an upload that comes to nothing leaves no file: its client left, its checksum is another, or its process was killed", async () => {
    await api("POST", "/r2/buckets", { name: "uploads" });
    const code = `export default {
      async fetch(request, env) {
        const { pathname, searchParams } = new URL(request.url);
        if (pathname === "/list") return Response.json((await env.FILES.list()).objects.map(({ size }) => size));
        const upload = pathname === "/part" ? await env.FILES.createMultipartUpload("large") : null;
        if (upload) return Response.json(await upload.uploadPart(1, request.body));
        const md5 = searchParams.get("md5") ?? undefined;
        return Response.json(await env.FILES.put("file", request.body, { md5 }).catch(String));
      },
    };`;
    const bucket = { type: "r2_bucket", name: "FILES", bucket_name: "uploads" };
    await deploy("uploads", code, { bindings: [bucket] });
    const blobs = join(
      platform.dataFolder,
      "storage",
      platform.ready.accountId,
      "data/r2/uploads/blobs",
    );
    const files = (): readonly string[] => readdirSync(blobs);
    const send = (path: string): ClientRequest => {
      const { port } = new URL(platform.ready.http);
      const headers = { host: `uploads.localhost:${port}`, "content-length": 3_000_000 };
      return request({ port, path, method: "PUT", headers }).on("error", () => {});
    };
    const half = async (path: string, others: number): Promise<ClientRequest> => {
      const sent = send(path);
      sent.write(Buffer.alloc(1_500_000));
      await until(() => existsSync(blobs) && files().length > others);
      return sent;
    };
    const whole = send("/put");
    whole.end(Buffer.alloc(3_000_000));
    await once(whole, "response");
    assert.equal(files().length, 1);
    for (const path of ["/put", "/part"]) {
      (await half(path, 1)).destroy();
      await until(() => files().length === 1);
    }
    const wrong = send(`/put?md5=${"0".repeat(32)}`);
    wrong.end(Buffer.alloc(3_000_000));
    const [answer] = (await once(wrong, "response")) as [IncomingMessage];
    assert.match((await answer.toArray()).join(""), /MD5 checksum you specified did not match/);
    await until(() => files().length === 1);
    const killed = await half("/put", 1);
    // As of an object whose row was never written.
    const lost = join(blobs, "0".repeat(80));
    writeFileSync(lost, "lost");
    utimesSync(lost, 0, 0);
    for (const pid of readdirSync(join(platform.dataFolder, "run/pids"))) {
      process.kill(Number(pid), "SIGKILL");
    }
    await until(() => files().length === 1, 60_000);
    killed.destroy();
    await until(async () => {
      const kept = await platform.worker("uploads", "/list").catch(() => null);
      return kept?.body === "[3000000]";
    });
  });

  it("a program in a Worker's place opens no resource that its Worker does not bind", async () => {
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "closed" });
    await api("PUT", `/storage/kv/namespaces/${id}/bulk`, [{ key: "secret", value: "1" }]);
    const folder = join(platform.dataFolder, "run/s/1");
    assert.ok(readdirSync(folder).includes("kv"));
    const forged = [undefined, id, `kv:${id}`, `kv:${id}.${"0".repeat(64)}`, `d1:${id}.x`, "kv:."];
    for (const capability of forged) {
      const headers = capability === undefined ? {} : { "cs-resource": capability };
      const answer = await ask({ folder, socket: "kv", path: "/secret", headers });
      assert.equal(answer.status, 403, capability);
    }
  });

  it("what was acknowledged is there after the storage was killed, and after the platform was", async () => {
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "kept" });
    await api("PUT", `/storage/kv/namespaces/${id}/bulk`, [{ key: "a", value: "1" }]);
    await deploy("keeper", runs({ read: `env.KV.get("a")` }), {
      bindings: [{ type: "kv_namespace", name: "KV", namespace_id: id }],
    });
    assert.equal(await ask1("keeper", "read"), "1");
    for (const pid of readdirSync(join(platform.dataFolder, "run/pids"))) {
      process.kill(Number(pid), "SIGKILL");
    }
    await until(async () => (await ask1("keeper", "read").catch(() => null)) === "1");
    const { dataFolder, ready } = platform;
    await platform.end("SIGKILL");
    platform = await startPlatform({ dataFolder, token: ready.token });
    assert.equal(await ask1("keeper", "read"), "1");
  });

  it("a backup that is taken while Workers write has what they keep, and a restore gives it back", async () => {
    const { dataFolder, ready } = platform;
    const scratch = mkdtempSync(join(tmpdir(), "countersign-backup-"));
    try {
      const file = join(scratch, "backup.db");
      backUp({ dataFolder, file, force: false });
      assert.equal(await ask1("first", "read").then(([, size]) => size), 100_000);
      const restored = join(scratch, "restored");
      mkdirSync(restored, { mode: 0o700 });
      copyFileSync(join(dataFolder, "master.key"), join(restored, "master.key"));
      await restore({
        dataFolder: restored,
        file,
        force: true,
        variables: masterKeyVariables({}),
        now: new Date(),
      });
      await platform[Symbol.asyncDispose]();
      platform = await startPlatform({ dataFolder: restored, token: ready.token });
      assert.deepEqual(await ask1("third", "read"), ["first", 100_000]);
      assert.deepEqual((await ask1("files", "add")).slice(0, 2), [
        { text: "one" },
        { text: "two" },
      ]);
      assert.equal(await ask1("files", "get"), "from the API");
    } finally {
      await platform[Symbol.asyncDispose]();
      rmSync(scratch, { recursive: true, force: true });
      rmSync(dataFolder, { recursive: true, force: true });
    }
  });
});
