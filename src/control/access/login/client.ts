/**
 * wrangler as an OAuth client: public, so it has no secret, and PKCE proves that who redeems a code
 * is who asked for it. The address it is sent back to is fixed in wrangler, whatever its
 * `--callback-port` says.
 */
export const wranglerClient = {
  client_id: "countersign-wrangler",
  client_name: "Wrangler",
  redirect_uris: ["http://localhost:8976/oauth/callback"],
  application_type: "native",
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
} as const;

/** `countersign login`: its listener has any free port of loopback (RFC 8252, section 7.3). */
export const cliClient = {
  client_id: "countersign-cli",
  client_name: "the Countersign command line",
  redirect_uris: ["http://127.0.0.1/oauth/callback"],
  application_type: "native",
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
} as const;

/** How the pages name who asks. */
export function clientName(id: unknown): string {
  return id === cliClient.client_id ? cliClient.client_name : wranglerClient.client_name;
}

/** Where wrangler sends the browser once it has what it wants. */
export const wranglerPages = "https://welcome.developers.workers.dev";

/**
 * What wrangler asks for beside what Countersign has: the products of Cloudflare. Granting them
 * allows nothing here, and refusing them makes `wrangler whoami` say that the login is incomplete.
 */
export const foreignScopes: readonly string[] = [
  "k2.read k2.write workers:write workers_kv:write workers_tail:read d1:write",
  "pages:write ai:write ai-search:write ai-search:run agent-memory:write queues:write",
  "pipelines:write secrets_store:write artifacts:write flagship:write containers:write",
  "cloudchamber:write connectivity:admin email_routing:write email_sending:write",
  "browser:write challenge-widgets.write",
].flatMap((line) => line.split(" "));

/** Below `/oauth2`, as Cloudflare's. */
export const paths = {
  authorization: "/oauth2/auth",
  token: "/oauth2/token",
  revocation: "/oauth2/revoke",
  interaction: "/oauth2/login",
} as const;
