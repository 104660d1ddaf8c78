// Datasets of Analytics Engine, behind one socket: a table each, in a Durable Object.
import { DurableObject } from "cloudflare:workers";
import { notBound, resourceOf } from "./capability.js";

const RETENTION_MS = 92 * 24 * 60 * 60 * 1000;
const MOST_ROWS = 1_000_000;

export class Dataset extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(
      "CREATE TABLE IF NOT EXISTS points (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, event TEXT NOT NULL)",
    );
    this.sql.exec("CREATE INDEX IF NOT EXISTS points_timestamp ON points (timestamp)");
  }

  write(event) {
    const now = Date.now();
    const { id } = this.sql
      .exec("INSERT INTO points (timestamp, event) VALUES (?, ?) RETURNING id", now, event)
      .one();
    if (id % 1000 !== 0) return;
    this.sql.exec(
      "DELETE FROM points WHERE timestamp < ? OR id <= ?",
      now - RETENTION_MS,
      id - MOST_ROWS,
    );
  }

  newest(limit) {
    return this.sql
      .exec("SELECT timestamp, event FROM points ORDER BY id DESC LIMIT ?", limit)
      .toArray()
      .map(({ timestamp, event }) => ({ timestamp, ...JSON.parse(event) }));
  }
}

export default {
  async fetch(request, env) {
    const name = await resourceOf(request, env, "analytics");
    if (name === null) return notBound();
    const stub = env.DATASET.get(env.DATASET.idFromName(name));
    if (request.method === "GET") {
      const limit = Number(new URL(request.url).searchParams.get("limit") ?? 100);
      return Response.json(await stub.newest(limit));
    }
    await stub.write(await request.text());
    return new Response(null);
  },
};
