import { DurableObject } from "cloudflare:workers";

interface Env {
  LEDGER: string;
  LEDGER_CERT: Fetcher;
  CACHE: KVNamespace;
  DATABASE: D1Database;
  COUNTER: DurableObjectNamespace<Counter>;
}

/** Numbers the orders. A Durable Object can use the binding as well. */
export class Counter extends DurableObject<Env> {
  async next(): Promise<number> {
    const number = ((await this.ctx.storage.get<number>("number")) ?? 0) + 1;
    await this.ctx.storage.put("number", number);
    return number;
  }

  async book(order: string): Promise<string> {
    const response = await this.env.LEDGER_CERT.fetch(this.env.LEDGER, {
      method: "POST",
      body: order,
    });
    const { client } = await response.json<{ client: { subject: string } }>();
    return client.subject;
  }
}

export default {
  async fetch(_request, env): Promise<Response> {
    const counter = env.COUNTER.getByName("orders");
    const number = await counter.next();
    const bookedBy = await counter.book(`order ${number}`);
    await env.CACHE.put("last", String(number));
    await env.DATABASE.prepare("CREATE TABLE IF NOT EXISTS orders (number INTEGER, by TEXT)").run();
    await env.DATABASE.prepare("INSERT INTO orders VALUES (?, ?)").bind(number, bookedBy).run();
    const orders = await env.DATABASE.prepare("SELECT * FROM orders ORDER BY number").all();
    return Response.json({ last: await env.CACHE.get("last"), orders: orders.results });
  },
} satisfies ExportedHandler<Env>;
