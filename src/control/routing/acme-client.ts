import type { Client } from "acme-client";
import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Outbound } from "../../network/outbound.ts";

export interface AcmeServer {
  /** URL. */
  readonly directory: string;
  /** PEM. */
  readonly accountKey: string;
  /** With what an account is opened. Null: nothing. */
  readonly external: ExternalAccount | null;
  readonly outbound: Outbound;
  /** Ends what is asked. */
  readonly signal: AbortSignal;
}

/** External Account Binding (RFC 8555, 7.3.4). */
export interface ExternalAccount {
  readonly kid: string;
  /** base64url. */
  readonly hmacKey: string;
}

const MOST_BYTES = 256 * 1024;

/** A problem document of RFC 7807, as ACME servers write it. */
const problem = z.object({
  type: z.string().startsWith("urn:ietf:params:acme:error:"),
  detail: z.string().default(""),
});

type Send = (url: string, method: string, options?: { readonly data?: unknown }) => Promise<Answer>;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly data: unknown;
}

/**
 * The library's client, whose requests go out as all of the platform's do: under the address policy,
 * with bounds of size and time, and without its own retries, which wait as long as a server says.
 */
export async function acmeClient({
  directory,
  accountKey,
  external,
  outbound,
  signal,
}: AcmeServer): Promise<Client> {
  // Loaded by the code that uses it.
  const { Client: AcmeClient } = await import("acme-client");
  const client = new AcmeClient({
    directoryUrl: directory,
    accountKey,
    ...(external !== null && { externalAccountBinding: external }),
  });
  const { http } = client as unknown as { readonly http: { request: Send } };
  http.request = async (url, method, { data } = {}) => {
    const answer = await outbound.send(url, {
      method: method.toUpperCase() as "GET" | "HEAD" | "POST",
      headers: { "content-type": "application/jose+json", "user-agent": "countersign" },
      ...(data !== undefined && { body: JSON.stringify(data) }),
      maxBytes: MOST_BYTES,
      signal,
    });
    const { status, headers } = answer;
    const text = answer.body.toString();
    const isJson = /^application\/(problem\+)?json\b/.test(String(headers["content-type"]));
    const body: unknown = isJson ? JSON.parse(text) : text;
    if (status >= 400 && !isOldNonce(body))
      throw refusal(body, `it answered with status ${status}`);
    return { status, headers, data: body };
  };
  return client;
}

/** What a server says against an order. Only what is a problem of ACME is told: it is shown to callers. */
export function refusal(body: unknown, otherwise: string): Failure {
  const { data } = problem.safeParse(body);
  if (data === undefined) {
    return new Failure("acme_unreachable", { cause: new Error(otherwise) });
  }
  const type = data.type.slice(data.type.lastIndexOf(":") + 1);
  if (type === "externalAccountRequired") return new Failure("acme_external_account_required");
  return new Failure("acme_refused", {
    message: `the ACME server says ${plain(type, 60)}: ${plain(data.detail, 400)}`,
  });
}

/** The library sends it once more. */
function isOldNonce(body: unknown): boolean {
  return problem.safeParse(body).data?.type === "urn:ietf:params:acme:error:badNonce";
}

function plain(text: string, most: number): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, most);
}
