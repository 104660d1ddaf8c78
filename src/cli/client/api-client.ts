import { hostname } from "node:os";
import { Failure, failures, type FailureCode } from "../../failures/failures.ts";
import { dataFolderOf } from "../data-option.ts";
import type { Io } from "../../terminal/io.ts";
import { platformClient } from "./platform-client.ts";

/** One account of a platform, over its v4 API. */
export interface ApiClient {
  readonly accountId: string;
  /**
   * @param path below the account: `/mtls_certificates`
   * @throws Failure as the API names it; `platform_not_running` if nothing answers
   */
  call<T>(method: string, path: string, body?: object): Promise<ApiAnswer<T>>;
}

export interface ApiAnswer<T> {
  readonly result: T;
  /** Worth a sentence, though it was done. */
  readonly messages: readonly string[];
}

/** Seconds: a command makes a few requests. */
const TOKEN_LIFE = 300;

/**
 * The platform of the data folder, or, where wrangler's three variables are set and no data folder
 * is named, the one that they point to: it may be on another machine.
 */
export async function apiClient(io: Io, options: { readonly data?: string }): Promise<ApiClient> {
  const { env } = io;
  const base = env["CLOUDFLARE_API_BASE_URL"];
  const token = env["CLOUDFLARE_API_TOKEN"];
  const accountId = env["CLOUDFLARE_ACCOUNT_ID"];
  const named = options.data ?? env["COUNTERSIGN_DATA"];
  if (named === undefined && base && token && accountId) return client(base, token, accountId);
  const platform = platformClient(dataFolderOf(io, options.data));
  const info = await platform.info();
  const name = `countersign on ${hostname()}`;
  return client(info.api, await platform.createToken(name, TOKEN_LIFE), info.accountId);
}

interface Envelope {
  readonly success: boolean;
  readonly result: unknown;
  readonly messages: readonly { readonly message: string }[];
  readonly errors: readonly SentError[];
}

interface SentError {
  readonly message: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

function client(base: string, token: string, accountId: string): ApiClient {
  return {
    accountId,
    call: async (method, path, body) => {
      const url = `${base}/accounts/${accountId}${path}`;
      const response = await fetch(url, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body && { body: JSON.stringify(body) }),
      }).catch((cause: unknown) => {
        throw new Failure("platform_not_running", {
          message: `no platform answers at ${base}`,
          cause,
        });
      });
      const envelope = (await response.json()) as Envelope;
      if (!envelope.success) throw failureOf(envelope.errors[0], response.status);
      const messages = envelope.messages.map(({ message }) => message);
      return { result: envelope.result as never, messages };
    },
  };
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
