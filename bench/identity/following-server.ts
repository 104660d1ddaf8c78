/** An origin that follows a control plane, in a separate process. Sends its port once it is ready. */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { authorize, follow, followTrust, secureServerOptions } from "countersign-origin/node";

export interface FollowingOrder {
  readonly cert: string;
  readonly key: string;
  readonly api: string;
  readonly account: string;
  readonly authorities: string;
}

process.once("message", (order: FollowingOrder) => void start(order));
process.once("disconnect", () => process.exit());

async function start({ cert, key, ...where }: FollowingOrder): Promise<void> {
  const { trust, ready } = follow({ ...where, policy: "orders" });
  await ready;
  const guard = authorize(trust, { trust, log: () => {} });
  const server = createServer(
    { cert, key, ...secureServerOptions(trust) },
    guard.handler((_, response) => response.end("ok")),
  );
  followTrust(server, trust, { cert, key });
  server.keepAliveTimeout = 75_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.send!((server.address() as AddressInfo).port);
}
