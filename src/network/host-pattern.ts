import { z } from "@hono/zod-openapi";
import { isIP } from "node:net";
import { unbracketed } from "./unbracketed.ts";

/** `api.example.com`, `*.example.com` (any host below it), `10.0.0.1`, `2001:db8::1`: lower case, no port. */
export const hostPattern: z.ZodType<string, string> = z
  .string()
  .trim()
  .toLowerCase()
  .max(253)
  .transform((host) => unbracketed(host).replace(/\.$/, ""))
  .refine(isHostPattern, "is not a host: write `api.example.com`, `*.example.com`, or an address");

function isHostPattern(host: string): boolean {
  if (isIP(host) !== 0) return true;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  return name.split(".").every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label));
}
