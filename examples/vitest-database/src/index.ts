import { Client } from "pg";

/** Answers with the name that PostgreSQL takes from this Worker's certificate. */
export default {
  async fetch(_request: Request, env: Env): Promise<Response> {
    const client = new Client({ connectionString: env.DB.connectionString });
    try {
      await client.connect();
      const { rows } = await client.query(
        "select current_user as user, client_dn as dn from pg_stat_ssl where pid = pg_backend_pid()",
      );
      await client.end();
      return Response.json(rows[0]);
    } catch (error) {
      return Response.json({ error: (error as Error).message }, { status: 502 });
    }
  },
} satisfies ExportedHandler<Env>;

export interface Env {
  readonly DB: Hyperdrive;
}
