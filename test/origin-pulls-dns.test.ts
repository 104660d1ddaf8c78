import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { request, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import Cloudflare, { APIError } from "cloudflare";
import { countersign } from "./helpers/cli.ts";
import { startControl } from "./helpers/control.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const ZONE = "example.com";
let folder: string;
let authority: TestAuthority;
let origin: TestOrigin;
let platform: TestPlatform;
let client: Cloudflare;
let zone_id: string;
let seen: IncomingHttpHeaders = {};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "origin-pulls-"));
  authority = await makeAuthority("Origins");
  origin = await startOrigin({
    authority,
    dns: [ZONE, `*.${ZONE}`],
    tls: { requestCert: false },
    handler: (asked, response) => {
      seen = asked.headers;
      response.end("origin");
    },
  });
  platform = await startPlatform({
    dataFolder: join(folder, "data"),
    args: ["--dev", "--origin-port", String(origin.port)],
  });
  const { api: baseURL, token: apiToken, accountId: id } = platform.ready;
  client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
  const ca = { certificates: authority.pem, ca: true, name: "origins" };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
  assert.ok(json.success, JSON.stringify(json.errors));
  zone_id = (await client.zones.create({ account: { id }, name: ZONE })).id;
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

function ask(host: string, url = platform.ready.http): Promise<Answer> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, headers: { host }, agent: false }, (response) => {
      const { statusCode: status = 0, headers } = response;
      textOf(response).then((text) => resolve({ status, headers, text }), reject);
    })
      .on("error", reject)
      .end();
  });
}

function cli(...args: string[]): ReturnType<typeof countersign> {
  return countersign([...args, "--data", platform.dataFolder]);
}

const code = (error: unknown): number | undefined =>
  error instanceof APIError ? error.errors[0]?.code : undefined;

test("a proxied record gives a host's origin, and another record does not", async () => {
  const record = await client.dns.records.create({
    zone_id,
    type: "A",
    name: "www",
    content: "127.0.0.1",
    ttl: 300,
    proxied: false,
    comment: "the shop",
    tags: ["team:shop"],
  });
  assert.equal(record.name, "www.example.com");
  assert.equal(record.ttl, 300);
  assert.equal((await ask("www.example.com")).status, 404);
  const edited = await client.dns.records.edit(record.id, {
    zone_id,
    type: "A",
    name: "www",
    ttl: 1,
    proxied: true,
  });
  assert.equal(edited.proxied, true);
  assert.equal(edited.comment, "the shop");
  assert.deepEqual(edited.tags, ["team:shop"]);
  const answer = await ask("www.example.com");
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, "origin");
  assert.equal(seen.host, "www.example.com");
  await client.dns.records.delete(record.id, { zone_id });
  assert.equal((await ask("www.example.com")).status, 404);
});

test("a CNAME leads where the account's own records for its target lead, a wildcard to every host below", async () => {
  const made = await Promise.all([
    client.dns.records.create({
      zone_id,
      type: "A",
      name: "hidden",
      content: "127.0.0.1",
      ttl: 1,
    }),
    client.dns.records.create({
      zone_id,
      type: "CNAME",
      name: "*",
      content: "Hidden.example.com.",
      ttl: 1,
      proxied: true,
    }),
  ]);
  assert.equal((await ask("any.example.com")).text, "origin");
  assert.equal((await ask(ZONE)).status, 404);
  for (const { id } of made) await client.dns.records.delete(id, { zone_id });
});

test("of several addresses any that accepts the connection answers", async () => {
  const made = [];
  for (const [type, content] of [
    ["A", "127.0.0.9"],
    ["A", "127.0.0.1"],
    ["AAAA", "0:0:0:0:0:0:0:1"],
  ] as const) {
    const record = { zone_id, type, name: "@", content, ttl: 1, proxied: true } as const;
    made.push(await client.dns.records.create(record));
  }
  assert.equal(made[2]?.content, "::1");
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask(ZONE)));
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["origin"]));
  for (const { id } of made) await client.dns.records.delete(id, { zone_id });
});

test("what `countersign host origin` said goes before the records, and both are shown", async () => {
  const record = await client.dns.records.create({
    zone_id,
    type: "A",
    name: "api",
    content: "127.0.0.1",
    ttl: 1,
    proxied: true,
  });
  const shown = await cli("host", "show", "api.example.com");
  assert.match(shown.stdout, /origin +https:\/\/127\.0\.0\.1 \(dns records\)\n.*no certificate/);
  const { chain, key } = await authority.issue({ subject: "CN=mine" });
  const pair = { certificates: chain, private_key: key, ca: false, name: "mine" };
  await platform.api("POST", "/accounts/{account}/mtls_certificates", pair);
  const to = `https://127.0.0.1:${origin.port}`;
  const said = await cli("host", "origin", "api.example.com", "--to", to, "--certificate", "mine");
  assert.equal(said.status, 0, said.stderr);
  const over = await cli("host", "show", "api.example.com");
  assert.match(over.stdout, /\(host origin\)\n.*the certificate mine/);
  assert.equal((await ask("api.example.com")).text, "origin");
  await cli("host", "origin", "api.example.com", "--delete");
  assert.equal((await ask("api.example.com")).text, "origin");
  await client.dns.records.delete(record.id, { zone_id });
});

test("a host of an origin is never said to be unknown while the platform starts", async () => {
  const record = await client.dns.records.create({
    zone_id,
    type: "A",
    name: "starts",
    content: "127.0.0.1",
    ttl: 1,
    proxied: true,
  });
  const { token, http } = platform.ready;
  const { port } = new URL(http);
  const args = ["--dev", "--origin-port", String(origin.port), "--http-port", port];
  await platform.end("SIGTERM");
  const over = new AbortController();
  const statuses = new Map<number, string>();
  const asking = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      const answer = await ask("starts.example.com", http).catch(() => null);
      if (answer === null) continue;
      statuses.set(answer.status, String(answer.headers["retry-after"]));
      await new Promise(setImmediate);
    }
  })();
  platform = await startPlatform({ dataFolder: join(folder, "data"), token, args }).finally(() =>
    over.abort(),
  );
  await asking;
  assert.equal((await ask("starts.example.com")).text, "origin");
  const retryAfter = statuses.get(503);
  assert.ok(retryAfter === undefined || Number(retryAfter) > 0, `Retry-After: ${retryAfter}`);
  statuses.delete(503);
  statuses.delete(200);
  assert.deepEqual([...statuses], []);
  const { api: baseURL } = platform.ready;
  client = new Cloudflare({ apiToken: token, baseURL, maxRetries: 0 });
  await client.dns.records.delete(record.id, { zone_id });
});

test("records are found by name, type and content, paged, replaced and refused as Cloudflare does", async () => {
  const { records } = client.dns;
  const common = { zone_id, ttl: 60 } as const;
  const a = await records.create({ ...common, type: "A", name: "a", content: "10.0.0.1" });
  await records.create({ ...common, type: "A", name: "a", content: "10.0.0.2" });
  await records.create({ ...common, type: "TXT", name: "a", content: "v=1" });
  const found = async (query: object): Promise<string[]> => {
    const contents: string[] = [];
    for await (const one of records.list({ zone_id, ...query })) contents.push(one.content ?? "");
    return contents;
  };
  assert.deepEqual(await found({ type: "TXT" }), ["v=1"]);
  assert.deepEqual(await found({ name: { exact: "a.example.com" }, type: "A" }), [
    "10.0.0.1",
    "10.0.0.2",
  ]);
  assert.deepEqual(await found({ content: { endswith: ".2" } }), ["10.0.0.2"]);
  assert.deepEqual(await found({ order: "content", direction: "desc", per_page: 2 }), [
    "v=1",
    "10.0.0.2",
    "10.0.0.1",
  ]);
  const same = { ...common, type: "A", name: "a.example.com", content: "10.0.0.1" } as const;
  await assert.rejects(records.create(same), (error) => code(error) === 81058);
  await assert.rejects(
    records.create({ ...same, proxied: true }),
    (error) => code(error) === 81057,
  );
  await assert.rejects(
    records.create({ ...common, type: "CNAME", name: "a", content: "b.example.net" }),
    (error) => code(error) === 81053,
  );
  await assert.rejects(
    records.create({ ...common, type: "TXT", name: "t", content: "x", proxied: true }),
    (error) => code(error) === 9004,
  );
  for (const wrong of [
    { type: "A", name: "a", content: "10.0.0.256" },
    { type: "AAAA", name: "a", content: "10.0.0.1" },
    { type: "CNAME", name: "c", content: "c.example.com" },
    { type: "A", name: "a b", content: "10.0.0.1" },
  ] as const) {
    await assert.rejects(records.create({ ...common, ...wrong }), (error) => code(error) === 1004);
  }
  await assert.rejects(
    records.create({ ...common, type: "MX", name: "a", content: "m.example.net", priority: 1 }),
    { status: 400 },
  );
  const changed = await records.update(a.id, { ...same, content: "10.0.0.3" });
  assert.equal(changed.content, "10.0.0.3");
  assert.equal((await records.get(a.id, { zone_id })).content, "10.0.0.3");
  await assert.rejects(records.get("0".repeat(32), { zone_id }), (error) => code(error) === 81044);
});

test("many records change at once: in Cloudflare's order, all of them or none", async () => {
  const { records } = client.dns;
  const common = { zone_id, ttl: 60, type: "A" } as const;
  const gone = await records.create({ ...common, name: "gone", content: "10.1.0.1" });
  const moved = await records.create({ ...common, name: "moved", content: "10.1.0.2" });
  const put = await records.create({ ...common, name: "put", content: "10.1.0.3" });
  const done = await records.batch({
    zone_id,
    // The same call frees the record's place.
    deletes: [{ id: gone.id }],
    patches: [{ id: moved.id, content: "10.1.0.4" } as never],
    puts: [{ id: put.id, type: "A", name: "put", content: "10.1.0.5", ttl: 120 }],
    posts: [{ type: "CNAME", name: "gone", content: "moved.example.com", ttl: 60 }],
  });
  assert.deepEqual(
    [done.deletes, done.patches, done.puts, done.posts].map((list) =>
      list!.map((one) => `${one.type} ${one.name} ${one.content} ${one.ttl}`),
    ),
    [
      ["A gone.example.com 10.1.0.1 60"],
      ["A moved.example.com 10.1.0.4 60"],
      ["A put.example.com 10.1.0.5 120"],
      ["CNAME gone.example.com moved.example.com 60"],
    ],
  );
  assert.equal((await records.get(moved.id, { zone_id })).content, "10.1.0.4");
  // The last change is impossible, so none is made.
  await assert.rejects(
    records.batch({
      zone_id,
      deletes: [{ id: moved.id }],
      posts: [
        { type: "A", name: "new", content: "10.1.0.6", ttl: 60 },
        { type: "A", name: "gone", content: "10.1.0.7", ttl: 60 },
      ],
    }),
    (error) => code(error) === 81053,
  );
  assert.equal((await records.get(moved.id, { zone_id })).content, "10.1.0.4");
  const posts = Array.from({ length: 101 }, (_, i) => ({
    type: "A" as const,
    name: `many-${i}`,
    content: "10.1.1.1",
    ttl: 60,
  }));
  const deletes = posts.map(() => ({ id: moved.id }));
  await assert.rejects(records.batch({ zone_id, deletes, posts }), /202 changes .* more than 200/);
  for (const one of [moved.id, put.id, done.posts![0]!.id]) await records.delete(one, { zone_id });
});

test("a zone is exported as a zone file and imported from one, again without a change", async () => {
  const { records } = client.dns;
  const file = `$TTL 300
@ IN SOA ns.example.net. admin.example.net. 1 7200 3600 1209600 3600
  IN NS ns.example.net.
zf IN A 10.2.0.1
   IN TXT "v=1; a" "b"
front 60 IN CNAME zf ; cf_tags=cf-proxied:false
`;
  assert.deepEqual(await records.import({ zone_id, file }), {
    recs_added: 3,
    total_records_parsed: 3,
  });
  const exported = await records.export({ zone_id });
  for (const line of [
    "zf.example.com.\t300\tIN\tA\t10.2.0.1 ; cf_tags=cf-proxied:false",
    'zf.example.com.\t300\tIN\tTXT\t"v=1; ab"',
    "front.example.com.\t60\tIN\tCNAME\tzf.example.com. ; cf_tags=cf-proxied:false",
  ]) {
    assert.ok(exported.split("\n").includes(line), `${line} is not in ${exported}`);
  }
  const again = await records.import({ zone_id, file: exported });
  assert.equal(again.recs_added, 0);
  assert.ok(again.total_records_parsed! >= 3);
  // Unsupported records, and text that is not a zone file, are refused as a whole.
  for (const [text, shown] of [
    ["more A 10.2.0.2\n@ MX 10 mail", /line 2: .*MX/],
    ["more A 10.2.0.2\n$INCLUDE /etc/passwd", /line 2: .INCLUDE/],
    ["more A 10.2.0.2\na A 10.2.0.256", /IPv4 address/],
  ] as const) {
    await assert.rejects(records.import({ zone_id, file: text }), shown);
  }
  const left: string[] = [];
  for await (const { id, name } of records.list({ zone_id })) {
    if (/^(zf|front)\./.test(name)) await records.delete(id, { zone_id });
    else left.push(name);
  }
  assert.ok(!left.includes("more.example.com"));
});

test("an account has a share of DNS records, and a zone takes its own with it", async () => {
  await using control = await startControl({ limits: { dnsRecords: 2 } });
  const zone = (await control.call("POST", "/zones", { name: ZONE })).result as { id: string };
  const path = `/zones/${zone.id}/dns_records`;
  const put = (name: string) =>
    control.call("POST", path, { type: "A", name, content: "10.0.0.1", proxied: true });
  assert.equal((await put("a")).status, 200);
  assert.equal((await put("b")).status, 200);
  const { status, errors } = await put("c");
  assert.deepEqual([status, errors[0]?.code], [400, 81045]);
  assert.equal((await control.call("DELETE", `/zones/${zone.id}`)).status, 200);
  assert.equal((await control.call("GET", path)).status, 404);
});
