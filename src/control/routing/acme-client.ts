import type { Client } from "acme-client";
import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Outbound } from "../../network/outbound.ts";

export interface AcmeServer {
  /** URL of the ACME directory. */
  readonly directory: string;
  /** PEM. */
  readonly accountKey: string;
  /** The external account with which the ACME account is opened. Null: none. */
  readonly external: ExternalAccount | null;
  readonly outbound: Outbound;
  /** Aborts the client's requests. */
  readonly signal: AbortSignal;
}

/** External Account Binding (RFC 8555, section 7.3.4). */
export interface ExternalAccount {
  readonly kid: string;
  /** base64url. */
  readonly hmacKey: string;
}

const MOST_BYTES = 256 * 1024;

/** A problem document (RFC 7807), as ACME servers send it. */
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
 * The library's client, but its requests are sent like all others of the platform: under the address policy, with
 * limits of size and time. Its own retries, which wait as long as a server says, are off.
 */
export async function acmeClient({
  directory,
  accountKey,
  external,
  outbound,
  signal,
}: AcmeServer): Promise<Client> {
  // Loaded only when it is needed.
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

/**
 * A server's reason for refusing an order. Only valid ACME problems are quoted, because the reason is shown to callers.
 */
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

/** The library repeats such a request. */
function isOldNonce(body: unknown): boolean {
  return problem.safeParse(body).data?.type === "urn:ietf:params:acme:error:badNonce";
}

function plain(text: string, most: number): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, most);
}
