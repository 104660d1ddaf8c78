import { drizzle } from "drizzle-orm/node-postgres";
import { sql } from "drizzle-orm";
import { createConnection } from "mysql2/promise";
import { Client } from "pg";
import postgres from "postgres";

const WHO =
  "select current_user as name, (select client_dn from pg_stat_ssl where pid = pg_backend_pid()) as dn";

const drivers = {
  async pg(env) {
    const client = new Client({ connectionString: env.PG.connectionString });
    await client.connect();
    const { rows } = await client.query(WHO);
    await client.end();
    return rows[0];
  },
  async postgres(env) {
    const db = postgres(env.PG.connectionString, { max: 1, fetch_types: false });
    const [row] = await db.unsafe(WHO);
    await db.end();
    return row;
  },
  async drizzle(env) {
    const client = new Client({ connectionString: env.PG.connectionString });
    await client.connect();
    const { rows } = await drizzle(client).execute(sql.raw(WHO));
    await client.end();
    return rows[0];
  },
  async mysql2(env) {
    const { host, user, password, database, port } = env.MARIA;
    const client = await createConnection({
      host,
      user,
      password,
      database,
      port,
      disableEval: true,
    });
    const [rows] = await client.query("select current_user() as name, database() as db");
    await client.end();
    return rows[0];
  },
  async secrets(env) {
    return { pg: env.PG.connectionString, maria: env.MARIA.connectionString };
  },
};

export default {
  async fetch(request, env) {
    const driver = drivers[new URL(request.url).pathname.slice(1)];
    try {
      return Response.json(await driver(env));
    } catch ({ message, code, hint }) {
      return Response.json({ message, code, hint }, { status: 500 });
    }
  },
};
