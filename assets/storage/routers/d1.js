// D1 databases of an account, behind one socket.
import { WorkerEntrypoint } from "cloudflare:workers";
import D1, { D1Database as Bundled } from "./bundled/d1.js";
import { notBound, resourceOf } from "./capability.js";
import { statementsOf } from "./statements.js";

export class D1Database extends Bundled {
  async destroy() {
    await this.ctx.storage.deleteAll();
  }

  // A file comes as the body of a request: arguments of a call are limited to 32 MiB.
  async fetch(request) {
    if (new URL(request.url).pathname !== "/import") return super.fetch(request);
    try {
      return Response.json(this.load(await request.text()));
    } catch (error) {
      return Response.json({ success: false, error: String(error.message ?? error) });
    }
  }

  // A file is larger than a statement may be: this takes statement by statement, all or none.
  load(text) {
    const { sql } = this.ctx.storage;
    const done = [];
    this.ctx.storage.transactionSync(() => {
      done.push(sql.ingest(text));
      // The last statement may end without its semicolon, and a comment may follow it.
      const rest = done[0].remainder;
      if (rest.replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, "").trim() === "") return;
      done.push(sql.ingest(`${rest}\n;`));
      if (done[1].remainder.trim() !== "") throw new Error("incomplete input");
    });
    const sum = (field) => done.reduce((all, one) => all + one[field], 0);
    return {
      success: true,
      num_queries: sum("statementCount"),
      final_bookmark: "0",
      meta: {
        duration: 0,
        rows_read: sum("rowsRead"),
        rows_written: sum("rowsWritten"),
        size_after: sql.databaseSize,
      },
    };
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
      const { pathname } = new URL(request.url);
      if (pathname === "/size") return Response.json(await stub(database, env).size());
      if (pathname === "/statements") return inStatements(request, database, env);
      if (pathname === "/import") return stub(database, env).fetch(request);
      return of(database, env).fetch(request);
    }
    const deleted = await resourceOf(request, env, "delete-d1");
    if (deleted === null) return notBound();
    await stub(deleted, env).destroy();
    return new Response(null);
  }
}

// Results take memory here and in the control plane.
const MOST_STATEMENTS = 10_000;

// The API answers with a result for each statement. What a Worker prepares stays one query.
async function inStatements(request, database, env) {
  const queries = (await request.json()).flatMap((query) => {
    const statements = query.params?.length > 0 ? [] : statementsOf(query.sql);
    return statements.length < 2 ? [query] : statements.map((sql) => ({ sql }));
  });
  if (queries.length > MOST_STATEMENTS) {
    const error = `${queries.length} statements in one query; ${MOST_STATEMENTS} are the most`;
    return Response.json({ success: false, error });
  }
  const url = new URL(request.url);
  url.pathname = "/query";
  const body = JSON.stringify(queries);
  return of(database, env).fetch(new Request(url, { method: "POST", body }));
}

const of = (database, env) => new D1({ props: { database } }, env);
const stub = (database, env) => env.DATABASE.get(env.DATABASE.idFromName(database));
