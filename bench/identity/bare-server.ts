/**
 * Two servers of node:https in one process that differ only in `authorize`: one bare, one with a policy of ten rules
 * and 1,000 revocations. Reads the key pair from its parent, sends the ports, and answers each message with the CPU µs
 * used so far.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { RevokedSerials, Trust } from "countersign-origin";
import { authorize, secureServerOptions } from "countersign-origin/node";

export interface ServerOrder {
  readonly cert: string;
  readonly key: string;
  readonly authority: string;
}

const BODY = JSON.stringify({ orders: Array.from({ length: 10 }, (_, id) => ({ id, sum: 12.5 })) });

process.once("message", (order: ServerOrder) => void start(order));
process.once("disconnect", () => process.exit());

async function start({ cert, key, authority }: ServerOrder): Promise<void> {
  const revoked = new RevokedSerials();
  for (let n = 0; n < 1_000; n += 1) revoked.add(`4F${n.toString(16).padStart(30, "0")}`);
  const others = Array.from({ length: 9 }, (_, n) => ({ worker: [`other-${n}`] }));
  const own = { worker: ["a", "b"], methods: ["GET", "POST"], paths: ["/orders/*"] };
  const trust = new Trust({
    authorities: [authority],
    revoked,
    policy: { allow: [...others, own] },
  });
  const options = { cert, key, ...secureServerOptions(trust) };
  const ports = await Promise.all([
    listen(createServer(options, handle)),
    listen(createServer(options, authorize(trust, { trust }).handler(handle))),
  ]);
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send!(user + system);
  });
  process.send!(ports);
}

function handle(_: IncomingMessage, response: ServerResponse): void {
  response.setHeader("content-type", "application/json").end(BODY);
}

async function listen(server: Server): Promise<number> {
  server.keepAliveTimeout = 75_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
