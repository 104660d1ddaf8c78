import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { Failure } from "../../failures/failures.ts";
import { diskFailure } from "../../failures/of-storage.ts";

/** What a handler answers with. */
export interface Answer {
  readonly result: unknown;
  /** Default: 200. */
  readonly status?: number;
  readonly resultInfo?: Readonly<Record<string, unknown>>;
  /** The result is all that there is: which page of it is sent, the query says. */
  readonly isList?: true;
  /** Worth a sentence, though the request was done. */
  readonly messages?: readonly string[];
}

/**
 * Cloudflare's v4 envelope around an answer.
 * @param count is told how long it is
 */
export function success(answer: Answer, count: (bytes: number) => void): Response {
  const { result, status = 200, resultInfo, messages = [] } = answer;
  const body = JSON.stringify({
    success: true,
    errors: [],
    messages: messages.map((message) => ({ code: 0, message })),
    result,
    ...(resultInfo && { result_info: resultInfo }),
  });
  count(body.length);
  return new Response(body, { status, headers: { "content-type": "application/json" } });
}

/**
 * The envelope of whatever was thrown. What is not a Failure is a bug: it is logged with a
 * reference, and the caller gets only that.
 */
export function failure(error: unknown, log: Logger): Response {
  const shown = error instanceof Failure ? error : (stored(error) ?? unexpected(error, log));
  const { status } = shown.entry;
  const retryAfter = shown.facts["retryAfterSeconds"];
  return Response.json(
    {
      success: false,
      errors: (shown.parts ?? [shown]).map((one) => ({
        code: one.entry.number,
        message: sentences(one),
        meta: { failure: one.code, fix: one.fix, ...one.facts },
      })),
      messages: [],
      result: null,
    },
    {
      status,
      headers: {
        ...(typeof retryAfter === "number" && { "retry-after": `${retryAfter}` }),
        // Cloudflare's SDKs and Terraform repeat a 409 for minutes, and say nothing meanwhile.
        ...(!HEALED_BY_A_RETRY.has(status) && { "x-should-retry": "false" }),
      },
    },
  );
}

const HEALED_BY_A_RETRY: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** The advice follows on a line of its own where the message ends in a stack. */
function sentences({ message, fix }: Failure): string {
  if (message.includes("\n")) return `${message.trimEnd()}\n${fix}`;
  // What a client sent may stand in it, as long as it was.
  const shown = message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message;
  return `${shown}. ${fix}`;
}

/** Characters of a message of one line. */
const LONGEST = 1_000;

function stored(error: unknown): Failure | null {
  return diskFailure(error, "what was to be kept could not be written or read");
}

function unexpected(error: unknown, log: Logger): Failure {
  const reference = randomUUID();
  log.error({ err: error, reference }, "a request to the API failed unexpectedly");
  return new Failure("internal", {
    message: `internal error, reference ${reference}`,
    facts: { reference },
  });
}

/** All that there is: the router cuts the page out that the query asks for. */
export function list(all: readonly unknown[]): Answer {
  return { result: all, isList: true };
}

/** What every list takes. Without `per_page` the first page has all, as wrangler expects it. */
export const paging: z.ZodObject<{
  page: z.ZodOptional<z.ZodCoercedNumber>;
  per_page: z.ZodOptional<z.ZodCoercedNumber>;
}> = z.object({
  page: z.coerce.number().int().min(1).max(1_000_000).optional(),
  per_page: z.coerce.number().int().min(1).max(1000).optional(),
});

/** @throws ZodError for numbers that are no pages */
export function pageOf(answer: Answer, query: URLSearchParams): Answer {
  const all = answer.result as readonly unknown[];
  const { page = 1, per_page: asked } = paging.parse({
    page: query.get("page") ?? undefined,
    per_page: query.get("per_page") ?? undefined,
  });
  const perPage = asked ?? Math.max(all.length, 20);
  const result = all.slice((page - 1) * perPage, page * perPage);
  return {
    ...answer,
    result,
    resultInfo: {
      page,
      per_page: perPage,
      count: result.length,
      total_count: all.length,
      total_pages: Math.max(1, Math.ceil(all.length / perPage)),
    },
  };
}
