import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Window } from "../../store/database.ts";
import { Failure } from "../../failures/failures.ts";
import { diskFailure } from "../../failures/of-storage.ts";

/** The result of a handler. */
export interface Answer {
  readonly result: unknown;
  /** Default: 200. */
  readonly status?: number;
  readonly resultInfo?: Readonly<Record<string, unknown>>;
  /** The result is the whole list. The query selects the page that is sent. */
  readonly isList?: true;
  /** The result is the page that was asked for, of a list of this length. */
  readonly total?: number;
  /** With `isList`: how each element of the page is shown. Default: as it is. */
  readonly as?: (element: never) => unknown;
  /** Notes on a request that succeeded. */
  readonly messages?: readonly string[];
}

/**
 * Puts an answer into Cloudflare's v4 envelope.
 * @param count is called with the length in bytes
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
 * The envelope for any error. An error that is not a Failure is a bug: it is logged with a reference, and the caller
 * gets only the reference.
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
        // Otherwise Cloudflare's SDKs and Terraform repeat a 409 for minutes, silently.
        ...(!HEALED_BY_A_RETRY.has(status) && { "x-should-retry": "false" }),
      },
    },
  );
}

const HEALED_BY_A_RETRY: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** If the message ends in a stack trace, the advice follows on a separate line. */
function sentences({ message, fix }: Failure): string {
  if (message.includes("\n")) return `${message.trimEnd()}\n${fix}`;
  // The message may quote the client's input, at any length, so it is shortened.
  const shown = message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message;
  return `${shown}. ${fix}`;
}

/** Characters of a one-line message. */
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

/**
 * Answers with the whole list; the router cuts out the page that the query asks for.
 * @param as is called for the elements of that page only. Default: they are shown as they are
 */
export function list<T>(all: readonly T[], as?: (element: T) => unknown): Answer {
  return { result: all, isList: true, ...(as && { as }) };
}

/** Answers with the page that was asked for, where the store cuts it: for lists that may be long. */
export function pageOfList(rows: readonly unknown[], total: number): Answer {
  return { result: rows, total };
}

/** The query of every list. Without `per_page` the first page has everything, as wrangler expects. */
export const paging: z.ZodObject<{
  page: z.ZodOptional<z.ZodCoercedNumber>;
  per_page: z.ZodOptional<z.ZodCoercedNumber>;
}> = z.object({
  page: z.coerce.number().int().min(1).max(1_000_000).optional(),
  per_page: z.coerce.number().int().min(1).max(1000).optional(),
});

export type Paging = z.output<typeof paging>;

/** The rows of a page. Null: all of them. */
export function windowOf({ page = 1, per_page: perPage }: Paging): Window | null {
  if (perPage !== undefined) return { offset: (page - 1) * perPage, limit: perPage };
  // Without a size, everything is on the first page.
  return page === 1 ? null : { offset: 0, limit: 0 };
}

/** The answer with `result_info`, and of a whole list the page alone. */
export function pageOf(answer: Answer, asked: Paging): Answer {
  const all = answer.result as readonly unknown[];
  const total = answer.total ?? all.length;
  const { page = 1, per_page: perPage = Math.max(total, 20) } = asked;
  const window = answer.total === undefined ? windowOf(asked) : null;
  const { as, ...rest } = answer;
  const cut = window === null ? all : all.slice(window.offset, window.offset + window.limit);
  const result = as ? cut.map((element) => as(element as never)) : cut;
  return {
    ...rest,
    result,
    resultInfo: pageInfo({ page, perPage, count: result.length, total }),
  };
}

/** `result_info` of a page with `count` elements, of `total`. */
export function pageInfo({
  page,
  perPage,
  count,
  total,
}: Readonly<Record<"page" | "perPage" | "count" | "total", number>>): NonNullable<
  Answer["resultInfo"]
> {
  return {
    page,
    per_page: perPage,
    count,
    total_count: total,
    total_pages: Math.max(1, Math.ceil(total / perPage)),
  };
}
