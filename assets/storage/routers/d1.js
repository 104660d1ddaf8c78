// D1 databases of an account, behind one socket.
import { WorkerEntrypoint } from "cloudflare:workers";
import D1, { D1Database as Bundled } from "./bundled/d1.js";
import { idOf, notBound, resourceOf } from "./capability.js";

export class D1Database extends Bundled {
  async destroy() {
    await this.ctx.storage.deleteAll();
  }

  async size() {
    const { sql } = this.ctx.storage;
    const tables =
      "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'";
    return { bytes: sql.databaseSize, tables: sql.exec(tables).one().n };
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const { env } = this;
    const database = await resourceOf(request, env, "d1");
    if (database !== null) {
      if (new URL(request.url).pathname !== "/size") return of(database, env).fetch(request);
      return Response.json(await stub(database, env).size());
    }
    const deleted = await resourceOf(request, env, "delete-d1");
    if (deleted === null) return notBound();
    await stub(deleted, env).destroy();
    return new Response(null);
  }

  /** RPC carries no headers: the capability comes with the call. */
  async query({ capability, ...call }) {
    const database = await idOf(String(capability), this.env, "d1");
    if (database === null) throw new Error("this database is not bound");
    return of(database, this.env).query(call);
  }
}

const of = (database, env) => new D1({ props: { database } }, env);
const stub = (database, env) => env.DATABASE.get(env.DATABASE.idFromName(database));
