import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { Failure } from "../../failures/failures.ts";

/** What a handler answers with. */
export interface Answer {
  readonly result: unknown;
  /** Default: 200. */
  readonly status?: number;
  readonly resultInfo?: Readonly<Record<string, unknown>>;
  /** Worth a sentence, though the request was done. */
  readonly messages?: readonly string[];
}

/** Cloudflare's v4 envelope around an answer. */
export function success(answer: Answer): Response {
  const { result, status = 200, resultInfo, messages = [] } = answer;
  return Response.json(
    {
      success: true,
      errors: [],
      messages: messages.map((message) => ({ code: 0, message })),
      result,
      ...(resultInfo && { result_info: resultInfo }),
    },
    { status },
  );
}

/**
 * The envelope of whatever was thrown. What is not a Failure is a bug: it is logged with a
 * reference, and the caller gets only that.
 */
export function failure(error: unknown, log: Logger): Response {
  const shown = error instanceof Failure ? error : unexpected(error, log);
  const { number, status } = shown.entry;
  const retryAfter = shown.facts["retryAfterSeconds"];
  return Response.json(
    {
      success: false,
      errors: [
        {
          code: number,
          message: sentences(shown),
          meta: { failure: shown.code, fix: shown.fix, ...shown.facts },
        },
      ],
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
  return message.includes("\n") ? `${message.trimEnd()}\n${fix}` : `${message}. ${fix}`;
}

function unexpected(error: unknown, log: Logger): Failure {
  const reference = randomUUID();
  log.error({ err: error, reference }, "a request to the API failed unexpectedly");
  return new Failure("internal", {
    message: `internal error, reference ${reference}`,
    facts: { reference },
  });
}

/** A list that is whole: any page but the first is empty, which is where clients stop asking. */
export function list(all: readonly unknown[], { page = "1" }: { page?: string } = {}): Answer {
  const items = page === "1" ? all : [];
  const count = items.length;
  return {
    result: items,
    resultInfo: {
      page: Number(page),
      per_page: Math.max(count, 20),
      count,
      total_count: count,
      total_pages: 1,
    },
  };
}

export const paged: z.ZodObject<{ page: z.ZodOptional<z.ZodString> }> = z.object({
  page: z.string().optional(),
});

export function pageOf({ page }: z.output<typeof paged>): { page?: string } {
  return page === undefined ? {} : { page };
}
