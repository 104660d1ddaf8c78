import { generateKeyPairSync } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Configuration, Provider } from "oidc-provider";
// The package's entry file prints a warning on every Node that is not LTS yet.
import { Provider as OauthServer } from "oidc-provider/lib/provider.js";
import type { Keyring } from "../../../keys/seal.ts";
import type { Store } from "../../../store/store.ts";
import { findUser } from "../../../store/access/users.ts";
import { scopeMeanings } from "../../api/scopes.ts";
import { StoreAdapter } from "./adapter.ts";
import { BegunLogins } from "./begun-logins.ts";
import { cliClient, foreignScopes, paths, wranglerClient } from "./client.ts";
import { errorPage } from "./pages.ts";

export interface LoginContext {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  /** The origin at which browsers and wrangler reach the server: `http://127.0.0.1:4400`. */
  readonly issuer: string;
}

export interface ProviderContext extends LoginContext {
  /** The client address of the request that is being answered. */
  readonly address: () => string | null;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The OAuth server: authorization code with PKCE, refresh tokens that can be used once, revocation. */
export function createProvider({
  store,
  keyring,
  clock,
  issuer,
  address,
}: ProviderContext): Provider {
  const begun = new BegunLogins();
  const options: Configuration = {
    adapter: (model) => new StoreAdapter(model, { store, keyring, clock, address, begun }),
    clients: [wranglerClient, cliClient].map(
      (client) => ({ ...client, id_token_signed_response_alg: "EdDSA" }) as never,
    ),
    scopes: [...Object.keys(scopeMeanings), ...foreignScopes, "offline_access"],
    responseTypes: ["code"],
    routes: { ...paths, jwks: "/oauth2/jwks" },
    features: {
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      revocation: {
        enabled: true,
        allowedPolicy: (_, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
    },
    interactions: { url: (_, { uid }) => `${paths.interaction}/${uid}` },
    findAccount: async (_, id) => {
      const user = await findUser(store.db, id);
      return user && { accountId: id, claims: () => ({ sub: id }) };
    },
    // Each login is a separate grant, so revoking one does not affect the others.
    loadExistingGrant: async (ctx) => {
      const grantId = ctx.oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId);
    },
    pkce: { required: () => true },
    issueRefreshToken: () => true,
    expiresWithSession: () => false,
    rotateRefreshToken: true,
    ttl: {
      AccessToken: HOUR,
      AuthorizationCode: MINUTE,
      Grant: 30 * DAY,
      IdToken: HOUR,
      Interaction: 10 * MINUTE,
      RefreshToken: 30 * DAY,
      Session: 10 * MINUTE,
    },
    cookies: {
      keys: [keyring.derive("oauth cookies").toString("base64url")],
      names: {
        session: "countersign_session",
        interaction: "countersign_sign_in",
        resume: "countersign_resume",
      },
      long: { signed: true, httpOnly: true, sameSite: "lax", path: "/oauth2" },
      short: { signed: true, httpOnly: true, sameSite: "lax" },
    },
    clientBasedCORS: () => false,
    // The server never issues an ID token, but requires a key for them.
    jwks: { keys: [unusedKey()] },
    renderError: async (ctx, out) => {
      const { body, headers } = await errorPage(out.error_description ?? out.error);
      ctx.type = "html";
      ctx.set(headers);
      ctx.body = body;
    },
  };
  const server = new OauthServer(issuer, options);
  // The server then believes `X-Forwarded-Proto`, which only we set: see `asReached`.
  server.proxy = true;
  return server;
}

/**
 * The OAuth server builds URLs and cookies from a request's headers. This sets them to the platform's own origin,
 * whatever the client wrote, so no redirect leads to a host that a client named.
 */
export function asReached({ headers }: IncomingMessage, issuer: string): void {
  const { host, protocol } = new URL(issuer);
  for (const name of Object.keys(headers)) {
    if (name === "forwarded" || name.startsWith("x-forwarded-")) delete headers[name];
  }
  headers.host = host;
  headers["x-forwarded-proto"] = protocol.slice(0, -1);
}

function unusedKey(): never {
  const { privateKey } = generateKeyPairSync("ed25519");
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "EdDSA" } as never;
}
