import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex as NodeDuplex } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { follow } from "countersign-origin/node";
import { makeAuthority, type TestAuthority } from "../../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../../test/helpers/platform.ts";
import {
  startPostgres,
  withoutPostgres,
  type RunningPostgres,
} from "../../test/helpers/postgres.ts";
import { say, step } from "../steps.ts";
import { startApi } from "./api.ts";
import { attack } from "./attackers.ts";
import { command } from "./callers.ts";
import { bundleWorker, callApi, deploy } from "./deploy.ts";
import { call, startLoad, type Load, type Sent } from "./load.ts";
import { startNginx } from "./nginx.ts";
import type { Stage } from "./stage.ts";
import { PostgresConnection } from "./wire.ts";

/** Which Worker calls: three Workers, one API, one database, and all the callers that must be refused. */
export async function identityStory(stack: AsyncDisposableStack): Promise<void> {
  if (withoutPostgres !== false) throw new Error(withoutPostgres);
  const folder = mkdtempSync(join(tmpdir(), "countersign-story-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const authority = await makeAuthority("Origins");
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const pair = { cert: server.chain, key: server.key };

  const platform = await step("countersign start", async () =>
    stack.use(await startPlatform({ args: ["--dev", "--trust-domain", "example.org"] })),
  );
  const address = loopback();
  const database = await step("Start PostgreSQL, which verifies Workers by the account's CA", () =>
    startDatabase({ stack, platform, authority, address }),
  );
  const stage = await step("Start an API over it that follows the policy `orders`", async () => {
    await setPolicy(platform, folder, ["a", "b"]);
    const { api: url, accountId } = platform.ready;
    const bundle = await fetch(`${url}/accounts/${accountId}/countersign/identity/bundle.pem`);
    const authorities = await bundle.text();
    const followed = stack.use(
      follow({ api: url, account: accountId, authorities, policy: "orders" }),
    );
    await followed.ready;
    const api = stack.use(
      await startApi({ trust: followed.trust, pair, database: database.socket }),
    );
    const code = await bundleWorker();
    return { platform, folder, stack, authority, pair, api, code };
  });
  await step("Deploy the Workers a, b and c, which differ by nothing but their names", async () => {
    await callApi(platform.ready, "POST", "/mtls_certificates", {
      certificates: authority.pem,
      ca: true,
      name: "origins",
    });
    for (const name of ["a", "b", "c"]) await deploy(platform.ready, name, stage.code);
  });

  await step("A and B write; C reads, and its write is refused with what is missing", async () => {
    for (const [worker, method, path, status] of [
      ["a", "POST", "/orders/first-a", 201],
      ["b", "POST", "/orders/first-b", 201],
      ["c", "GET", "/orders", 200],
      ["c", "POST", "/orders/first-c", 403],
    ] as const) {
      const answer = await call(platform, worker, method, stage.api.url + path);
      say(`${worker} ${method} ${path}: ${answer.status} ${answer.body}`);
      assert.equal(answer.status, status);
    }
  });

  await step("Under full load, take A's write power away with one command", () =>
    takeAway(stage, stage.api.url, database),
  );
  if (spawnSync("which", ["nginx"]).status === 0) {
    const url = await step("Put nginx before the API, with the printed configuration", () =>
      startNginx(stage),
    );
    await step("The same through nginx, which follows the policy", () =>
      takeAway(stage, url, database),
    );
  } else say("nginx is not installed: the same through nginx is left out");
  await step("Straight to PostgreSQL: pg_ident.conf says which Worker may have which role", () =>
    straightToDatabase(stage, database, address),
  );
  await step("And those who should not get in", () => attack(stage, { host: address, port: 5432 }));
}

/** An unused address of this machine, because PostgreSQL's port is always the same. */
function loopback(): string {
  const parts = Array.from({ length: 3 }, () => 1 + Math.floor(Math.random() * 250));
  return `127.${parts.join(".")}`;
}

async function setPolicy(
  platform: TestPlatform,
  folder: string,
  writers: readonly string[],
): Promise<void> {
  const policy = {
    allow: [
      { worker: writers, methods: ["GET", "POST"] },
      { worker: ["a", "b", "c"], methods: "GET" },
      { spiffeId: "spiffe://example.org/account/*/client/ada", methods: "GET" },
    ],
  };
  writeFileSync(join(folder, "policy.json"), JSON.stringify(policy));
  await command(platform, folder, "policy", "set", "orders", "policy.json");
}

interface DatabaseOptions {
  readonly stack: AsyncDisposableStack;
  readonly platform: TestPlatform;
  readonly authority: TestAuthority;
  readonly address: string;
}

async function startDatabase(options: DatabaseOptions): Promise<RunningPostgres> {
  const { stack, platform, authority, address } = options;
  const { api, accountId } = platform.ready;
  const published = async (name: string): Promise<string> =>
    (await fetch(`${api}/accounts/${accountId}/countersign/identity/${name}`)).text();
  const running = await startPostgres(
    { after: (work) => stack.defer(work as () => Promise<void>) },
    authority,
    {
      listen: { host: address, port: 5432 },
      files: {
        "ca.crt": await published("bundle.pem"),
        "crl.pem": await published("crl.pem"),
        "pg_hba.conf": "local all all trust\nhostssl all all all cert map=workers clientname=DN\n",
        "pg_ident.conf": identMap(accountId, "a|b"),
      },
      settings: { ssl_crl_file: "crl.pem" },
    },
  );
  await asOwner(running, [
    "create table orders (id text primary key, worker text not null)",
    "create role writer login; create role reader login",
    "grant select, insert on orders to writer; grant select on orders to reader",
  ]);
  return running;
}

function identMap(account: string, writers: string): string {
  return `workers "/^CN=(${writers}),O=${account}$" writer\nworkers "/^CN=(a|b|c),O=${account}$" reader\n`;
}

async function asOwner(
  { socket }: RunningPostgres,
  queries: readonly string[],
): Promise<(string | null)[][]> {
  const stream = connect(socket);
  const connection = new PostgresConnection(NodeDuplex.toWeb(stream));
  try {
    await connection.start("client");
    let last: (string | null)[][] = [];
    for (const sql of queries) last = await connection.query(sql);
    return last;
  } finally {
    stream.destroy();
  }
}

/** ms after the command within which a write may still be let in. */
const AT_ONCE = 1_000;

async function takeAway(
  { platform, folder }: Stage,
  url: string,
  database: RunningPostgres,
): Promise<void> {
  const load = startLoad(platform, url);
  await wait(700);
  await setPolicy(platform, folder, ["b"]);
  const at = performance.now();
  await untilEnough(load, at);
  await load.stop();
  await judge(load.sent, at, database);
  await setPolicy(platform, folder, ["a", "b"]);
  await untilWritten(platform, url);
}

/** Waits until A was refused often enough, or for a limited time. */
async function untilEnough(load: Load, at: number): Promise<void> {
  const end = performance.now() + AT_ONCE + 400;
  const refused = (): number =>
    load.sent.filter(({ worker, begun, status }) => worker === "a" && begun > at && status === 403)
      .length;
  while (refused() < 100 && performance.now() < end) await wait(50);
}

async function judge(sent: readonly Sent[], at: number, database: RunningPostgres): Promise<void> {
  const of = (name: string): Sent[] => sent.filter(({ worker }) => worker === name);
  const [a, b, c] = [of("a"), of("b"), of("c")];
  const odd = sent.find(({ status }) => ![200, 201, 403].includes(status));
  assert.equal(odd, undefined, `${odd?.worker}: ${odd?.status} ${odd?.body}`);
  const written = a.filter(({ status }) => status === 201);
  const refused = a.filter(({ status }) => status === 403);
  const rows = await asOwner(database, ["select id from orders"]);
  const stored = new Set(rows.map(([id]) => id));
  assert.ok(
    written.every(({ id }) => stored.has(id)),
    "an acknowledged write is not there",
  );
  assert.ok(
    refused.every(({ id }) => !stored.has(id)),
    "a refused write is there",
  );
  const last = Math.max(...written.map(({ begun }) => begun)) - at;
  assert.ok(refused.length > 0 && last < AT_ONCE, `A wrote ${last} ms after the command`);
  assert.ok(b.length > 0 && b.every(({ status }) => status === 201), "B was disturbed");
  assert.ok(c.length > 0 && c.every(({ status }) => status === 200), "C was disturbed");
  const none = Math.max(0, Math.round(last));
  say(
    `A: ${written.length} writes acknowledged, all there; its last one began ${none} ms after the command`,
  );
  say(`A: ${refused.length} writes refused, none there: ${refused[0]!.body}`);
  say(`B: ${b.length} writes, C: ${c.length} reads, none refused, none failed`);
}

async function untilWritten(platform: TestPlatform, url: string): Promise<void> {
  for (let i = 0; i < 300; i++) {
    const { status } = await call(platform, "a", "POST", `${url}/orders/again-${i}-${Date.now()}`);
    if (status === 201) return;
    await wait(50);
  }
  throw new Error("A was not let in again");
}

async function straightToDatabase(
  { platform }: Stage,
  database: RunningPostgres,
  address: string,
): Promise<void> {
  const sql = async (worker: string, role: string, text: string): Promise<string> => {
    const query = new URLSearchParams({ role, sql: text, db: `${address}:5432` });
    const { status, body } = await platform.worker(worker, `/sql?${query.toString()}`);
    say(`${worker} as ${role}: ${status} ${body}`);
    return body;
  };
  assert.equal(await sql("a", "writer", insert("straight-1")), '[["straight-1"]]');
  assert.match(
    await sql("c", "reader", "select worker from orders where id = 'straight-1'"),
    /straight/,
  );
  assert.match(await sql("c", "reader", insert("straight-2")), /permission denied/);
  assert.match(await sql("c", "writer", insert("straight-3")), /authentication failed/);
  await database.put("pg_ident.conf", identMap(platform.ready.accountId, "b"));
  await asOwner(database, ["select pg_reload_conf()"]);
  await wait(200);
  assert.match(await sql("a", "writer", insert("straight-4")), /authentication failed/);
  assert.match(await sql("b", "writer", insert("straight-5")), /straight-5/);
}

function insert(id: string): string {
  return `insert into orders values ('${id}', 'straight') returning id`;
}
