/**
 * `pg` through a Hyperdrive binding's socket, and `pg` with the same certificate and no gateway, in turns in one run:
 * `node bench/databases.ts [rounds]`. Both drivers run in this process, without a Worker.
 */
import { loadavg } from "node:os";
import { performance } from "node:perf_hooks";
import { Client } from "pg";
import { bindDatabase, databaseConfig, pgClient } from "../test/helpers/databases.ts";
import { edgeCertificate, testGateway } from "../test/helpers/gateway.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPostgres } from "../test/helpers/postgres.ts";
import { cpuOf } from "./cpu.ts";

const [rounds = 5] = process.argv.slice(2).map(Number);
const SESSIONS = 20;
const QUERIES = 2_000;
const MIB = 16;
const AT_ONCE = 16;
const ROWS = `select repeat('x', 1000) as filler from generate_series(1, ${Math.round((MIB * 2 ** 20) / 1000)})`;

interface Way {
  readonly name: string;
  connect(): Promise<Client>;
}

await using cleanup = new AsyncDisposableStack();
const t = {
  after: (end: () => unknown): void =>
    cleanup.defer(async () => {
      await end();
    }),
};
const authority = await makeAuthority();
const leaf = await authority.issue({ subject: "CN=client" });
const server = await startPostgres(t, authority);
const gateway = await testGateway(t);
await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
await gateway.handle.setCertificate(edgeCertificate(leaf));
await bindDatabase(gateway, databaseConfig({ port: server.port }));
const gatewayPid = gateway.handle.status().pid!;

const direct: Way = {
  name: "pg, with the certificate",
  connect: async () => {
    const ssl = { ca: authority.pem, cert: leaf.chain, key: leaf.key };
    const place = { host: "localhost", port: server.port, user: "client", database: "postgres" };
    return await opened(new Client({ ...place, ssl }));
  },
};
const hyperdrive: Way = {
  name: "pg, through the gateway",
  connect: async () => await opened(await pgClient(gateway)),
};

interface Cell {
  readonly name: string;
  /** Resolves with how many units were done. */
  run(way: Way): Promise<number>;
}

const cells: readonly Cell[] = [
  {
    name: "a session: connect, sign in, one query, end",
    run: async (way) => {
      for (let n = 0; n < SESSIONS; n += 1) {
        const client = await way.connect();
        await client.query("select 1");
        await client.end();
      }
      return SESSIONS;
    },
  },
  { name: "a query, one connection", run: async (way) => await queries(way, 1) },
  { name: `a query, ${AT_ONCE} connections`, run: async (way) => await queries(way, AT_ONCE) },
  {
    name: "a MiB of rows",
    run: async (way) => {
      const client = await way.connect();
      await client.query(ROWS);
      await client.end();
      return MIB;
    },
  },
];

say(`load of the machine: ${loadavg()[0]!.toFixed(1)}; medians of ${rounds} rounds\n`);
for (const cell of cells) {
  const ways = [direct, hyperdrive];
  for (const way of ways) await cell.run(way);
  const samples = new Map(ways.map((way) => [way, [] as { us: number; cpu: number }[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) samples.get(way)!.push(await sample(cell, way));
  }
  say(cell.name);
  for (const [way, all] of samples) {
    const us = median(all.map((one) => one.us));
    const cpu = median(all.map((one) => one.cpu));
    const rate = `${Math.round(1e6 / us).toLocaleString("en")}/s`;
    say(
      `  ${way.name.padEnd(26)} ${us.toFixed(0).padStart(8)} µs  ${rate.padStart(9)}` +
        (way === hyperdrive ? `  gateway's CPU ${cpu.toFixed(0)} µs` : ""),
    );
  }
}

async function sample(cell: Cell, way: Way): Promise<{ us: number; cpu: number }> {
  const cpuBefore = cpuOf([gatewayPid]).get(gatewayPid)!;
  const startedAt = performance.now();
  const units = await cell.run(way);
  const us = ((performance.now() - startedAt) * 1000) / units;
  return { us, cpu: (cpuOf([gatewayPid]).get(gatewayPid)! - cpuBefore) / units };
}

async function queries(way: Way, connections: number): Promise<number> {
  const clients = await Promise.all(Array.from({ length: connections }, () => way.connect()));
  const each = Math.ceil(QUERIES / connections);
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 0; n < each; n += 1) await client.query("select $1::int as n", [n]);
      await client.end();
    }),
  );
  return each * connections;
}

async function opened(client: Client): Promise<Client> {
  await client.connect();
  return client;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
