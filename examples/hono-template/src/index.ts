import { Hono } from "hono";
import { logger } from "hono/logger";

interface Bindings {
  SUPPLIER: string;
  SUPPLIER_CERT: Fetcher;
}

const app = new Hono<{ Bindings: Bindings }>();

app.use(logger());

app.get("/", (c) => c.text("Hello Hono!"));

app.get("/stock/:item", async (c) => {
  const url = new URL(`/stock/${c.req.param("item")}`, c.env.SUPPLIER);
  const response = await c.env.SUPPLIER_CERT.fetch(url);
  if (response.headers.has("countersign-failure")) {
    return c.json({ problem: response.headers.get("countersign-failure") }, 502);
  }
  return c.json(await response.json());
});

export default app;
