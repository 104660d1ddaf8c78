import { hostname } from "node:os";
import { Failure, failures, type FailureCode } from "../../failures/failures.ts";
import type { Io } from "../../terminal/io.ts";
import { fetchJson } from "./network.ts";
import { platformClient, sendInside } from "./platform-client.ts";
import { choosePlatform } from "./chosen-platform.ts";

/** One account of a platform, over its v4 API. */
export interface ApiClient {
  readonly accountId: string;
  /** `http://127.0.0.1:4400/client/v4`; shown to people. */
  readonly api: string;
  /** Why this platform was chosen: `--data`, `CLOUDFLARE_API_BASE_URL`, … */
  readonly from: string;
  /**
   * @param path below the account: `/mtls_certificates`
   * @throws Failure with the API's code; `platform_not_running` if nothing answers
   */
  call<T>(method: string, path: string, body?: object): Promise<ApiAnswer<T>>;
  /** Sends a body that is not JSON. @param path below the account */
  send<T>(method: string, path: string, body: TypedBody): Promise<ApiAnswer<T>>;
  /** @param path below the API: `/user` */
  callAbove<T>(method: string, path: string, body?: object): Promise<ApiAnswer<T>>;
  /** A token for programs that the command starts, and its expiry. */
  readonly token: string;
}

export interface TypedBody {
  readonly contentType: string;
  readonly bytes: Buffer<ArrayBuffer>;
}

export interface ApiAnswer<T> {
  readonly result: T;
  /** Notes on a request that succeeded. */
  readonly messages: readonly string[];
}

/** Seconds; enough for the few requests of a command. */
const TOKEN_LIFE = 300;

/** ms that `assertPlatform` waits. */
const PATIENCE = 20_000;

type Send = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | Buffer<ArrayBuffer> | undefined,
) => Promise<{ readonly status: number; readonly text: string }>;

/**
 * A client of the platform that `choosePlatform` finds. The platform of a data folder is always asked over the folder's
 * socket.
 */
export async function apiClient(io: Io, options: { readonly data?: string }): Promise<ApiClient> {
  const chosen = choosePlatform(io, options);
  const { from } = chosen;
  if (chosen.kind === "api") {
    const { api, token, accountId } = chosen;
    return clientOf({ api, token, from, accountId, send: over(api) });
  }
  if (chosen.kind === "login") {
    const { fresh } = await import("./oauth.ts");
    const { api, accessToken: token, accountId } = await fresh(io, chosen.login);
    return clientOf({ api, token, from, accountId, send: over(api) });
  }
  const { dataFolder } = chosen;
  const platform = platformClient(dataFolder);
  const { api, accountId } = await platform.info();
  const token = await platform.createToken(`countersign on ${hostname()}`, TOKEN_LIFE);
  const send: Send = (method, path, headers, body) =>
    sendInside(dataFolder, method, `/client/v4${path}`, headers, body);
  return clientOf({ api, token, from, accountId, send });
}

function over(api: string): Send {
  return (method, path, headers, body) =>
    fetchJson(`${api}${path}`, { method, headers, ...(body !== undefined && { body }) });
}

interface Envelope {
  readonly success: boolean;
  readonly result: unknown;
  readonly messages?: readonly { readonly message: string }[];
  readonly errors?: readonly SentError[];
}

interface SentError {
  readonly message: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

async function clientOf(options: {
  readonly api: string;
  readonly token: string;
  readonly from: string;
  readonly accountId: string | null;
  readonly send: Send;
}): Promise<ApiClient> {
  const { api, token, from, send } = options;
  const callAbove = async <T>(method: string, path: string, body?: object): Promise<ApiAnswer<T>> =>
    answered(method, path, "application/json", body && JSON.stringify(body));
  const answered = async <T>(
    method: string,
    path: string,
    contentType: string,
    body: string | Buffer<ArrayBuffer> | undefined,
  ): Promise<ApiAnswer<T>> => {
    const headers = { authorization: `Bearer ${token}`, "content-type": contentType };
    const answer = await send(method, path, headers, body);
    const envelope = envelopeOf(api, answer, `${method} ${path}`);
    if (!envelope.success) throw failureOf(envelope.errors?.[0], answer.status);
    const messages = (envelope.messages ?? []).map(({ message }) => message);
    return { result: envelope.result as T, messages };
  };
  const accountId = options.accountId ?? (await onlyAccount(callAbove));
  return {
    accountId,
    api,
    from,
    token,
    callAbove,
    call: (method, path, body) => callAbove(method, `/accounts/${accountId}${path}`, body),
    send: (method, path, { contentType, bytes }) =>
      answered(method, `/accounts/${accountId}${path}`, contentType, bytes),
  };
}

/**
 * Does a platform answer there? It is asked without a token, so it refuses.
 * @throws Failure `platform_unlike` if something else does, `platform_not_running` if nothing does
 */
export async function assertPlatform(api: string): Promise<void> {
  const init = { signal: AbortSignal.timeout(PATIENCE) };
  envelopeOf(api, await fetchJson(`${api}/accounts`, init), "GET /accounts");
}

/** The accounts that a token reaches. */
export async function accountsOf(api: string, token: string): Promise<readonly Account[]> {
  const client = { api, token, from: "", accountId: "", send: over(api) };
  return (await (await clientOf(client)).callAbove<readonly Account[]>("GET", "/accounts")).result;
}

export interface Account {
  readonly id: string;
  readonly name: string;
}

async function onlyAccount(call: ApiClient["callAbove"]): Promise<string> {
  const { result } = await call<readonly Account[]>("GET", "/accounts");
  const [first, ...more] = result;
  if (first && more.length === 0) return first.id;
  throw new Failure("usage", {
    message: `the token reaches ${result.length} accounts`,
    fix: `Set CLOUDFLARE_ACCOUNT_ID to one of: ${result.map(({ id, name }) => `${id} (${name})`).join(", ")}.`,
  });
}

function envelopeOf(
  api: string,
  { status, text }: { readonly status: number; readonly text: string },
  asked: string,
): Envelope {
  const envelope = envelopeIn(text);
  if (envelope !== null) return envelope;
  throw new Failure("platform_unlike", {
    message: `${api} answered ${asked} with status ${status}, and not in JSON`,
  });
}

function envelopeIn(text: string): Envelope | null {
  try {
    const read = JSON.parse(text) as Partial<Envelope> | null;
    return typeof read?.success === "boolean" ? (read as Envelope) : null;
  } catch {
    return null;
  }
}
function failureOf(error: SentError | undefined, status: number): Failure {
  const { failure, fix, ...facts } = error?.meta ?? {};
  const message = error?.message ?? `the API answered with status ${status}`;
  if (typeof failure !== "string" || !Object.hasOwn(failures, failure)) {
    return new Failure("internal", { message });
  }
  if (typeof fix !== "string") return new Failure(failure as FailureCode, { message, facts });
  const what = message.endsWith(`. ${fix}`) ? message.slice(0, -fix.length - 2) : message;
  return new Failure(failure as FailureCode, { message: what, fix, facts });
}
