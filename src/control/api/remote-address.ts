import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { plainAddress } from "../../network/ranges.ts";

/** The IP address at the other end of the connection. Null: there is none, as in `app.request()`. */
export function remoteAddress(context: Context): string | null {
  const { incoming } = (context.env ?? {}) as Partial<HttpBindings>;
  const address = incoming?.socket.remoteAddress;
  return address === undefined ? null : plainAddress(address);
}
