import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { parsePolicy } from "countersign-origin";
import { authorize, follow, followTrust, secureServerOptions } from "countersign-origin/node";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const CALLER = `export default {
  async fetch(request, env) {
    const answer = await env.ME.fetch(env.ORIGIN);
    return new Response(await answer.text(), { status: answer.status });
  },
};`;

let platform: TestPlatform;
let project: WranglerProject;
let origin: Server;
let followed: ReturnType<typeof follow>;
let account: string;
const callers: (string | undefined)[] = [];

before(async () => {
  platform = await startPlatform();
  const { api, token } = platform.ready;
  account = platform.ready.accountId;
  const bundle = await fetch(`${api}/accounts/${account}/countersign/identity/bundle.pem`);
  followed = follow({ api, account, authorities: await bundle.text(), policy: "orders" });
  await followed.ready;
  const authority = await makeAuthority("Origins");
  const body = { certificates: authority.pem, ca: true, name: "origins" };
  assert.equal(
    (await platform.api("POST", "/accounts/{account}/mtls_certificates", body)).status,
    200,
  );
  const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const pair = { cert: chain, key };
  const guard = authorize(followed.trust, { trust: followed.trust, log: () => {} });
  origin = createServer(
    { ...pair, ...secureServerOptions(followed.trust) },
    guard.handler(({ caller }, response) => {
      callers.push(caller?.spiffeId ?? undefined);
      response.end(caller?.environment ?? "none");
    }),
  );
  followTrust(origin, followed.trust, pair);
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const binding = { binding: "ME", certificate_id: "identity" };
  const vars = { ORIGIN: `https://localhost:${(origin.address() as AddressInfo).port}/` };
  const shared = { vars, mtls_certificates: [binding] };
  project = await wranglerProject(
    { api, token, accountId: account },
    {
      "index.js": CALLER,
      "wrangler.json": {
        name: "orders",
        main: "index.js",
        compatibility_date: "2026-11-01",
        ...shared,
        env: { staging: shared, "pré-prod": { ...shared, name: "orders-pre" } },
      },
    },
  );
  await Promise.all([deploy(), deploy("staging")]);
});

after(async () => {
  await project[Symbol.asyncDispose]();
  origin.closeAllConnections();
  origin.close();
  await followed[Symbol.asyncDispose]();
  await platform[Symbol.asyncDispose]();
});

async function deploy(environment = ""): Promise<void> {
  const run = await project.run(["deploy", "--env", environment]);
  assert.equal(run.exitCode, 0, run.output);
}

async function setPolicy(...allow: object[]): Promise<void> {
  const path = "/accounts/{account}/countersign/policies/orders";
  const { status, json } = await platform.api("PUT", path, { allow });
  assert.equal(status, 200, JSON.stringify(json.errors));
  // Not the next cursor, because an identity issued meanwhile has a cursor too.
  await until(() => isDeepStrictEqual(followed.trust.policy, parsePolicy({ allow })));
}

function cli(...args: string[]): Promise<CliRun> {
  return countersign([...args, "--data", platform.dataFolder]);
}

function idOf(worker: string, environment?: string): string {
  const place = environment === undefined ? "" : `/environment/${environment}`;
  return `spiffe://countersign.internal/account/${account}/worker/${worker}${place}`;
}

test("no identity names an environment until the account says so", async () => {
  await setPolicy({ worker: ["orders", "orders-staging"] });
  callers.length = 0;
  for (const name of ["orders", "orders-staging"]) {
    const { status, body } = await platform.worker(name);
    assert.deepEqual([status, body], [200, "none"]);
  }
  assert.deepEqual(callers, [idOf("orders"), idOf("orders-staging")]);
  assert.equal((await cli("identity", "environments")).stdout, "off\n");
});

test("switched on and off at full load, no request is lost, and what is named changes", async () => {
  await setPolicy({ worker: ["orders", "orders-staging"] });
  const stop = new AbortController();
  const answers = new Map<string, number>();
  const load = async (name: string): Promise<void> => {
    while (!stop.signal.aborted) {
      const { status, body } = await platform.worker(name);
      const key = `${name}: ${status} ${status === 200 ? body : ""}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
    }
  };
  const loads = ["orders", "orders-staging", "orders-staging"].map(load);
  await until(() => answers.size === 2);
  assert.equal((await cli("identity", "environments", "on")).stdout, "on\n");
  assert.equal((await platform.worker("orders-staging")).body, "staging");
  await until(() => answers.size === 3);
  assert.equal((await cli("identity", "environments", "off")).stdout, "off\n");
  assert.equal((await platform.worker("orders-staging")).body, "none");
  assert.equal((await cli("identity", "environments", "on")).stdout, "on\n");
  stop.abort();
  await Promise.all(loads);
  const said = [...answers.keys()].toSorted();
  assert.deepEqual(said, [
    "orders-staging: 200 none",
    "orders-staging: 200 staging",
    "orders: 200 none",
  ]);
});

test("a rule may ask for the environment, and a Worker of none or of another is refused by it", async () => {
  await setPolicy({ worker: "*", environment: "staging" });
  assert.equal((await platform.worker("orders-staging")).body, "staging");
  const { status, body } = await platform.worker("orders");
  assert.equal(status, 403);
  assert.match(body, /"caller_not_named"/);
  const yes = await cli("policy", "explain", "orders", "--worker", "orders-staging");
  assert.match(yes.stdout, /lets Worker "orders-staging" \(environment "staging"\) of account/);
  const other = ["--worker", "orders-staging", "--environment", "production"];
  assert.match((await cli("policy", "explain", "orders", ...other)).stdout, /caller_not_named/);
});

test("an environment whose name cannot stand in a SPIFFE ID is encoded, as soon as it is deployed", async () => {
  await setPolicy({ environment: "pré-prod" });
  await deploy("pré-prod");
  callers.length = 0;
  assert.equal((await platform.worker("orders-pre")).body, "pré-prod");
  const encoded = `_u.${Buffer.from("pré-prod").toString("hex")}`;
  assert.deepEqual(callers, [idOf("orders-pre", encoded)]);
});

test("a Worker that is put into another environment is known by that at once", async () => {
  await setPolicy({ worker: "orders-staging" });
  const path = "/accounts/{account}/workers/scripts/orders-staging/script-settings";
  const tag = async (name: string): Promise<void> => {
    const tags = ["cf:service=orders", `cf:environment=${name}`];
    assert.equal((await platform.api("PATCH", path, { tags })).status, 200);
  };
  await tag("canary");
  assert.equal((await platform.worker("orders-staging")).body, "canary");
  await tag("staging");
  assert.equal((await platform.worker("orders-staging")).body, "staging");
});

test("identities are listed with what they name, and revoked by it; another environment's ID is nobody's", async () => {
  const listed = await cli("identity", "list", "--json");
  const rows = JSON.parse(listed.stdout) as { worker: string; environment: string | null }[];
  assert.deepEqual(
    rows.map(({ worker, environment }) => [worker, environment]),
    [
      ["orders", null],
      ["orders-pre", "pré-prod"],
      ["orders-staging", "staging"],
    ],
  );
  const shown = await cli("identity", "show", idOf("orders-staging", "staging"));
  assert.match(shown.stdout, /\/worker\/orders-staging\/environment\/staging +active\n/);
  assert.match(shown.stdout, /\n {4}as spiffe:\/\/.*\/worker\/orders-staging\n/);
  const wrong = await cli("identity", "revoke", idOf("orders-staging", "production"), "--yes");
  assert.equal(wrong.status, 1, wrong.stdout);
  assert.match(wrong.stderr, /never had an identity/);
  assert.equal((await platform.worker("orders-staging")).status, 200);
  const right = await cli("identity", "revoke", idOf("orders-staging", "staging"), "--yes");
  assert.match(right.stdout, /orders-staging: revoked/);
  assert.equal((await platform.worker("orders-staging")).status, 520);
  assert.match((await cli("identity", "restore", "orders-staging")).stdout, /active/);
  assert.equal((await platform.worker("orders-staging")).body, "staging");
});
