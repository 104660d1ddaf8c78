import { Hono } from "hono";
import { cors } from "hono/cors";

type Bindings = {
  APP_CERT: Fetcher;
  ORIGIN: string;
};

export const app = new Hono<{ Bindings: Bindings }>().use(
  "*",
  cors({
    origin: ["*"],
    allowHeaders: ["Content-Type", "Authorization"],
    allowMethods: ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
  }),
);

app.get("/mtls-request", async (c) => {
  const response = await c.env.APP_CERT.fetch(c.env.ORIGIN, {
    headers: {
      "Content-Type": "application/json",
    },
    method: "POST",
    body: JSON.stringify({
      user: "crisog",
    }),
  });

  const responseJson = await response.json();

  return c.json({ response: responseJson, status: response.status });
});

export default app;
