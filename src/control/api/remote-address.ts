import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { plainAddress } from "../../network/ranges.ts";
import type { Client } from "../../network/trusted-proxies.ts";

/** What the listener adds to a request: the client's address, from trusted proxies if there are any. */
export interface ClientBindings extends HttpBindings {
  readonly client?: Client;
}

/** The IP address of the client. Null: there is none, as in `app.request()`. */
export function remoteAddress(context: Context): string | null {
  const { client, incoming } = (context.env ?? {}) as Partial<ClientBindings>;
  if (client !== undefined) return client.address;
  const address = incoming?.socket.remoteAddress;
  return address === undefined ? null : plainAddress(address);
}
