/** Each path of a URL names an object and what it is asked. */
export const counter = (more = "", className = "Counter"): string => `
import { DurableObject } from "cloudflare:workers";
export class ${className} extends DurableObject {
  hit() {
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS hits (n INTEGER)");
    sql.exec("INSERT INTO hits VALUES (1)");
    return sql.exec("SELECT count(*) AS n FROM hits").one().n;
  }
  async wake(after) { await this.ctx.storage.setAlarm(Date.now() + Number(after)); return "set"; }
  async alarm() { await this.ctx.storage.put("woken", ((await this.ctx.storage.get("woken")) ?? 0) + 1); }
  async woken() { return (await this.ctx.storage.get("woken")) ?? 0; }
  async old() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  async slow(ms) { await scheduler.wait(Number(ms)); return this.hit(); }
  ${more}
}
export default {
  async fetch(request, env) {
    const [name, method, argument] = new URL(request.url).pathname.slice(1).split("/");
    return Response.json(await env.COUNTER.getByName(name)[method](argument));
  },
};`;

export const project = (
  name: string,
  more: object = {},
  code: string = counter(),
): Record<string, string | object> => ({
  "wrangler.jsonc": {
    name,
    main: "index.js",
    compatibility_date: "2026-11-01",
    durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    ...more,
  },
  "index.js": code,
});
