import { connectorTo, streamTo, type ConnectBinding } from "countersign/stream";
import Redis from "ioredis";
import mysql from "mysql2/promise";
import { Client } from "pg";
import postgres from "postgres";

interface Env {
  DB_CERT: ConnectBinding;
}

/** GET /DRIVER?at=HOST:PORT&ssl=1&user=client&password=…: answers with the client's name, as the database sees it. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const at = searchParams.get("at")!;
    const ask = drivers[pathname.slice(1)];
    if (ask === undefined) return new Response("no such driver", { status: 404 });
    try {
      const answer = await ask(env.DB_CERT, at, searchParams);
      return new Response(answer);
    } catch (error) {
      return new Response(String(error), { status: 502 });
    }
  },
};

type Ask = (binding: ConnectBinding, at: string, options: URLSearchParams) => Promise<string>;

const WHO = "select client_dn as who from pg_stat_ssl where pid = pg_backend_pid()";

const drivers: Readonly<Record<string, Ask>> = {
  async pg(binding, at, options) {
    const client = new Client({
      ...signIn(options),
      database: "postgres",
      ssl: options.has("ssl"),
      stream: () => streamTo(binding, at),
    });
    await client.connect();
    const { rows } = await client.query(options.get("sql") ?? WHO);
    await client.end();
    return rows[0].who;
  },

  async postgres(binding, at, options) {
    const sql = postgres({
      ...signIn(options),
      database: "postgres",
      ssl: options.has("ssl") ? "require" : false,
      socket: () => streamTo(binding, at),
      max: 1,
      fetch_types: false,
    });
    const rows = await sql.unsafe(options.get("sql") ?? WHO);
    await sql.end();
    return rows[0].who;
  },

  async mysql2(binding, at, options) {
    const connection = await mysql.createConnection({
      ...signIn(options),
      database: "shop",
      stream: () => streamTo(binding, at),
      // Otherwise mysql2 compiles code at run time, which a Worker may not do.
      disableEval: true,
      ...(options.has("ssl") ? { ssl: {} } : {}),
    });
    const [rows] = await connection.query(options.get("sql") ?? "select current_user() as who");
    await connection.end();
    return (rows as { who: string }[])[0].who;
  },

  async ioredis(binding, at, options) {
    const redis = new Redis({
      Connector: connectorTo(binding, at),
      ...(options.has("user") && {
        username: options.get("user")!,
        password: options.get("password") ?? "",
      }),
      retryStrategy: null,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    });
    let lost: Error | undefined;
    redis.on("error", (error: Error) => (lost = error));
    try {
      await redis.connect();
      if (options.has("wait")) return String(await redis.blpop("never", 30));
      await redis.set("who", "client");
      return String(await redis.get("who"));
    } catch (error) {
      throw lost ?? error;
    } finally {
      redis.disconnect();
    }
  },
};

function signIn(options: URLSearchParams): { readonly user: string; readonly password?: string } {
  const password = options.get("password");
  return { user: options.get("user") ?? "client", ...(password !== null && { password }) };
}
