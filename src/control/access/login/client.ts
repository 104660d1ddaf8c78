/**
 * wrangler as an OAuth client. It is public, so it has no secret, and PKCE proves that the same program asked for a
 * code and redeems it. Its redirect address is fixed in wrangler, even with `--callback-port`.
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

/** `countersign login`, which listens on any free loopback port (RFC 8252, section 7.3). */
export const cliClient = {
  client_id: "countersign-cli",
  client_name: "the Countersign command line",
  redirect_uris: ["http://127.0.0.1/oauth/callback"],
  application_type: "native",
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
} as const;

/** The client's name on the pages. */
export function clientName(id: unknown): string {
  return id === cliClient.client_id ? cliClient.client_name : wranglerClient.client_name;
}

/** wrangler sends the browser there after the login. */
export const wranglerPages = "https://welcome.developers.workers.dev";

/**
 * Scopes that wrangler asks for and Countersign does not have, because they belong to other products of Cloudflare.
 * Granting them allows nothing here; refusing them makes `wrangler whoami` call the login incomplete.
 */
export const foreignScopes: readonly string[] = [
  "k2.read k2.write workers:write workers_kv:write workers_tail:read d1:write",
  "pages:write ai:write ai-search:write ai-search:run agent-memory:write queues:write",
  "pipelines:write secrets_store:write artifacts:write flagship:write containers:write",
  "cloudchamber:write connectivity:admin email_routing:write email_sending:write",
  "browser:write challenge-widgets.write",
].flatMap((line) => line.split(" "));

/** Paths below `/oauth2`, the same as Cloudflare's. */
export const paths = {
  authorization: "/oauth2/auth",
  token: "/oauth2/token",
  revocation: "/oauth2/revoke",
  interaction: "/oauth2/login",
} as const;
