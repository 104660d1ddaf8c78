import { createHash, randomBytes } from "node:crypto";
import { cliClient, paths } from "../../control/access/login/client.ts";
import { scopeMeanings } from "../../control/api/scopes.ts";
import { Failure } from "../../failures/failures.ts";
import type { Io } from "../../terminal/io.ts";
import { readLogin, writeLogin, type Login } from "./login-file.ts";
import { lockLogin } from "./login-lock.ts";
import { fetchJson } from "./network.ts";

/** The OAuth server's answer to a code or a refresh token. */
interface Tokens {
  readonly access_token?: string;
  readonly refresh_token?: string;
  readonly expires_in?: number;
  readonly error?: string;
  readonly error_description?: string;
}

export interface LoginRequest {
  readonly state: string;
  readonly verifier: string;
  /** `http://127.0.0.1:PORT/oauth/callback` */
  readonly redirectUri: string;
  /** The URL that the browser opens. */
  readonly url: string;
}

/** Authorization code with PKCE (RFC 7636) and a loopback redirect (RFC 8252). */
export function loginRequest(api: string, port: number): LoginRequest {
  const verifier = randomBytes(32).toString("base64url");
  const state = randomBytes(16).toString("base64url");
  const redirectUri = `http://127.0.0.1:${port}/oauth/callback`;
  const query = new URLSearchParams({
    client_id: cliClient.client_id,
    response_type: "code",
    redirect_uri: redirectUri,
    scope: [...Object.keys(scopeMeanings), "offline_access"].join(" "),
    state,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const url = `${new URL(api).origin}${paths.authorization}?${query.toString()}`;
  return { state, verifier, redirectUri, url };
}

/** @throws Failure `login_failed` */
export function redeem(
  api: string,
  code: string,
  { verifier, redirectUri }: LoginRequest,
): Promise<Omit<Login, "accountId">> {
  const form = {
    grant_type: "authorization_code",
    code,
    code_verifier: verifier,
    redirect_uri: redirectUri,
  };
  return tokens(api, form, "login_failed");
}

/**
 * The login, with an access token that is valid for at least one more minute. A refresh token can be used once only, and
 * a second use ends the login: so one command renews it while others wait, and the new tokens are stored before they are
 * used.
 * @throws Failure `login_ended`, `login_busy`
 */
export async function fresh(io: Io, login: Login): Promise<Login> {
  if (isFresh(login)) return login;
  const unlock = await lockLogin(io);
  try {
    const kept = readLogin(io);
    if (kept === null)
      throw new Failure("login_ended", { message: "nobody is signed in any more" });
    if (isFresh(kept)) return kept;
    const form = { grant_type: "refresh_token", refresh_token: kept.refreshToken };
    const renewed = { ...kept, ...(await tokens(kept.api, form, "login_ended")) };
    writeLogin(io, renewed);
    return renewed;
  } finally {
    unlock();
  }
}

function isFresh({ expiresOn }: Login): boolean {
  return Date.parse(expiresOn) - Date.now() > 60_000;
}

/** ms for an answer with tokens. Less than other commands wait for the one that renews a login. */
const PATIENCE = 20_000;

export async function revokeLogin({ api, refreshToken }: Login): Promise<void> {
  await post(api, paths.revocation, { token: refreshToken });
}

async function tokens(
  api: string,
  form: Readonly<Record<string, string>>,
  code: "login_failed" | "login_ended",
): Promise<Omit<Login, "accountId">> {
  const answer = (await post(api, paths.token, form)) as Tokens | null;
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: life } = answer ?? {};
  if (accessToken === undefined || refreshToken === undefined || life === undefined) {
    const why = answer?.error_description ?? answer?.error ?? "no tokens came back";
    throw new Failure(code, { message: `${new URL(api).origin} did not take the login: ${why}` });
  }
  const expiresOn = new Date(Date.now() + life * 1000).toISOString();
  return { api, accessToken, refreshToken, expiresOn };
}

async function post(
  api: string,
  path: string,
  form: Readonly<Record<string, string>>,
): Promise<unknown> {
  const { text } = await fetchJson(`${new URL(api).origin}${path}`, {
    method: "POST",
    body: new URLSearchParams({ client_id: cliClient.client_id, ...form }),
    signal: AbortSignal.timeout(PATIENCE),
  });
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
