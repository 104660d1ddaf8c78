import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FailureCode } from "../failures/failures.ts";
import type { GatewayBinding } from "../contract/gateway.ts";

/** The target of a request from the ingress, which names its host in `Host`. */
export function frontUrl(
  { headers, url = "/" }: IncomingMessage,
  port: number,
): { readonly origin: string; readonly path: string } {
  const host = (headers.host ?? "").replace(/:\d*$/, "").toLowerCase();
  return { origin: `https://${host}${port === 443 ? "" : `:${port}`}`, path: url };
}

/** One name for each pair of host and origin, because two platforms may be chained. */
export function frontName({ accountId, bindingName, front }: GatewayBinding): string {
  const text = JSON.stringify([accountId, bindingName, front?.hosts, front?.port]);
  return `countersign-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

/** Has the request passed this host of an origin before (RFC 8586)? */
export function loopIn(binding: GatewayBinding, { headers }: IncomingMessage): FailureCode | null {
  const passed = headers["cdn-loop"];
  if (binding.front === undefined || passed === undefined) return null;
  const names = String(passed)
    .split(",")
    .map((name) => name.split(";")[0]!.trim());
  return names.includes(frontName(binding)) ? "host_origin_loop" : null;
}
