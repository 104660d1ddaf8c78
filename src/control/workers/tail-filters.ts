import { z } from "@hono/zod-openapi";
import type { TailFilter, Words } from "../../contract/journal.ts";
import type { LogEntry } from "../../contract/worker-log.ts";

const oneOrMore = z.union([z.string().max(1024), z.array(z.string().max(1024)).max(50)]);

/** Filters as wrangler sends them. An entry has to pass all of them. */
export const tailFilters: z.ZodType<readonly TailFilter[]> = z
  .array(
    z.union([
      z.strictObject({ sampling_rate: z.number().min(0).max(1) }),
      z.strictObject({ outcome: oneOrMore }),
      z.strictObject({ method: oneOrMore }),
      z.strictObject({
        header: z.object({ key: z.string().max(255), query: z.string().max(1024).optional() }),
      }),
      z.strictObject({ client_ip: oneOrMore }),
      z.strictObject({ query: z.string().max(1024) }),
      z.strictObject({ scriptVersion: z.string().max(255) }),
    ]),
  )
  .max(50);

/** @param own the address that `self` stands for */
export function passes(
  entry: LogEntry,
  filters: readonly TailFilter[],
  own: string | null,
): boolean {
  return filters.every((filter) => passesOne(entry, filter, own));
}

function passesOne(entry: LogEntry, filter: TailFilter, own: string | null): boolean {
  const { method, headers } = requestOf(entry);
  if ("sampling_rate" in filter) return Math.random() < filter.sampling_rate;
  if ("outcome" in filter) return list(filter.outcome).includes(entry.outcome);
  if ("method" in filter) {
    return list(filter.method).some((one) => one.toUpperCase() === method);
  }
  if ("header" in filter) {
    const value = headers[filter.header.key.toLowerCase()];
    return value !== undefined && value.includes(filter.header.query ?? "");
  }
  if ("client_ip" in filter) {
    const address = headers["cf-connecting-ip"];
    return list(filter.client_ip).some((one) => address === (one === "self" ? own : one));
  }
  if ("query" in filter) {
    const wanted = filter.query.toLowerCase();
    const said = [...entry.logs.flatMap(({ message }) => message), ...entry.exceptions];
    return said.some((one) => JSON.stringify(one).toLowerCase().includes(wanted));
  }
  return entry.scriptVersion?.id === filter.scriptVersion;
}

function requestOf({ event }: LogEntry): {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
} {
  const request = (event?.["request"] ?? {}) as { method?: unknown; headers?: unknown };
  const { method, headers } = request;
  const pairs = typeof headers === "object" && headers !== null ? Object.entries(headers) : [];
  return {
    method: typeof method === "string" ? method.toUpperCase() : "",
    headers: Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), String(value)])),
  };
}

function list(words: Words): readonly string[] {
  return typeof words === "string" ? [words] : words;
}
