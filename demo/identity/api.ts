import { once } from "node:events";
import {
  createServer as createPlainServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer } from "node:https";
import { connect, type AddressInfo, type Server } from "node:net";
import { Duplex as NodeDuplex } from "node:stream";
import type { Server as TlsServer } from "node:tls";
import { authorize, followTrust, secureServerOptions } from "countersign-origin/node";
import type { Trust } from "countersign-origin";
import { PostgresConnection } from "./wire.ts";

export interface Api extends AsyncDisposable {
  /** The API's URL; it decides with `authorize`. */
  readonly url: string;
  readonly port: number;
  /** The port of the same API with a clock that is one day ahead. */
  readonly tomorrow: number;
  /** Plain HTTP, for a proxy that decides instead. */
  readonly plain: string;
}

export interface ApiOptions {
  readonly trust: Trust;
  readonly pair: { readonly cert: string; readonly key: string };
  /** PostgreSQL's Unix socket. */
  readonly database: string;
}

const DAY = 86_400_000;

/** An API for orders over PostgreSQL: `POST /orders/{id}` writes one, `GET /orders` counts them. */
export async function startApi({ trust, pair, database }: ApiOptions): Promise<Api> {
  const connections = await Promise.all(Array.from({ length: 4 }, () => open(database)));
  let turn = 0;
  const query = (sql: string): Promise<(string | null)[][]> =>
    connections[turn++ % connections.length]!(sql);
  const handle = (
    request: IncomingMessage & { caller?: { worker: string | null } | null },
    response: ServerResponse,
  ): void => {
    const told = request.headers["x-countersign-worker"];
    const worker = request.caller?.worker ?? (typeof told === "string" ? told : "");
    void answer(request, worker, query).then(
      ([status, body]) => response.writeHead(status).end(body),
      (error: Error) => response.writeHead(500).end(error.message),
    );
  };
  const guarded = (clock: () => number): TlsServer => {
    const guard = authorize(trust, { trust, clock, log: () => {} });
    const server = createServer({ ...pair, ...secureServerOptions(trust) }, guard.handler(handle));
    followTrust(server, trust, pair);
    return server;
  };
  const servers = [guarded(Date.now), guarded(() => Date.now() + DAY), createPlainServer(handle)];
  const [port, tomorrow, plain] = await Promise.all(servers.map(listen));
  return {
    url: `https://localhost:${port}`,
    port: port!,
    tomorrow: tomorrow!,
    plain: `http://127.0.0.1:${plain}`,
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        (server as Partial<{ closeAllConnections(): void }>).closeAllConnections?.();
        server.close();
      }
      await Promise.resolve();
    },
  };
}

async function answer(
  { method, url = "" }: IncomingMessage,
  worker: string,
  query: (sql: string) => Promise<(string | null)[][]>,
): Promise<[number, string]> {
  if (method === "POST") {
    const id = /^\/orders\/([a-z0-9-]{1,40})$/.exec(url)?.[1];
    if (id === undefined || !/^[a-z0-9-]{1,40}$/.test(worker)) return [400, "no order"];
    await query(`insert into orders (id, worker) values ('${id}', '${worker}')`);
    return [201, id];
  }
  const [[count] = []] = await query("select count(*) from orders");
  return [200, `${count} orders`];
}

/** Opens one connection, and runs its queries one after another. */
async function open(database: string): Promise<(sql: string) => Promise<(string | null)[][]>> {
  const socket = connect(database);
  socket.unref();
  const connection = new PostgresConnection(NodeDuplex.toWeb(socket));
  await connection.start("client");
  let before: Promise<unknown> = Promise.resolve();
  return (sql) => {
    const result = before.then(() => connection.query(sql));
    before = result.catch(() => {});
    return result;
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
