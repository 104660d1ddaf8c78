/** What a token may do, in Cloudflare's names. A scope that ends in `:write` includes reading. */
export type Scope =
  | "account:read"
  | "user:read"
  | "zone:read"
  | "ssl_certs:read"
  | "ssl_certs:write"
  | "workers_scripts:read"
  | "workers_scripts:write"
  | "workers_routes:read"
  | "workers_routes:write";

/** Every scope that includes others or stands alone: what the first token has. */
export const allScopes: readonly Scope[] = [
  "account:read",
  "user:read",
  "zone:read",
  "ssl_certs:write",
  "workers_scripts:write",
  "workers_routes:write",
];

export function permits(scopes: readonly string[], needed: Scope): boolean {
  return scopes.includes(needed) || scopes.includes(needed.replace(/:read$/, ":write"));
}
