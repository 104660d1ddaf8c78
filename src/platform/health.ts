import { Hono } from "hono";
import type { EdgeStatus } from "../contract/edge.ts";
import type { Store } from "../store/store.ts";

/**
 * For load balancers and supervisors, without a token: /healthz says that the process answers, /readyz that it can do
 * its work. Both tell strangers no more than yes or no.
 */
export function healthApp(store: Store, edge: { status(): EdgeStatus }): Hono {
  const app = new Hono();
  app.get("/healthz", (context) => context.text("ok\n"));
  app.get("/readyz", async (context) => {
    const { gateway, ingress } = edge.status();
    const isReady = gateway.state === "running" && ingress.state === "running";
    return isReady && (await answers(store))
      ? context.text("ready\n")
      : context.text("not ready\n", 503, { "retry-after": "1" });
  });
  return app;
}

async function answers({ db }: Store): Promise<boolean> {
  try {
    await db.selectFrom("accounts").select("id").limit(1).execute();
    return true;
  } catch {
    return false;
  }
}
