import { z } from "@hono/zod-openapi";
import { line } from "../api/text.ts";
import type { DnsRecordRow } from "../../store/schema.ts";

const FIELDS = ["name", "content", "comment"] as const;
const KINDS = ["exact", "contains", "startswith", "endswith"] as const;
const text: z.ZodType<string | undefined> = line.max(4096).optional();

/** `name`, `name.exact` and `name[exact]` are the spellings of people, Terraform and the SDK. */
const texts: Record<string, z.ZodType<string | undefined>> = {};
for (const field of FIELDS) {
  texts[field] = text;
  for (const kind of KINDS) {
    texts[`${field}.${kind}`] = text;
    texts[`${field}[${kind}]`] = text;
  }
}

/** Unknown filters are refused: an ignored filter would return records that do not match it. */
export const dnsFilter: z.ZodObject = z.strictObject({
  ...texts,
  type: text,
  proxied: z.enum(["true", "false"]).optional(),
  search: text,
  match: z.enum(["any", "all"]).optional(),
  order: z.enum(["type", "name", "content", "ttl", "proxied"]).optional(),
  direction: z.enum(["asc", "desc"]).optional(),
  include_shadow_metadata: z.enum(["true", "false"]).optional(),
  page: text,
  per_page: text,
});

interface Filter {
  readonly type?: string;
  readonly proxied?: "true" | "false";
  readonly search?: string;
  readonly match?: "any" | "all";
  readonly order?: "type" | "name" | "content" | "ttl" | "proxied";
  readonly direction?: "asc" | "desc";
}
type Test = (row: DnsRecordRow) => boolean;

/** @param query as parsed by `dnsFilter` */
export function filtered(rows: readonly DnsRecordRow[], query: object): readonly DnsRecordRow[] {
  const filter: Filter = query;
  const tests = testsOf(filter);
  const isFound: Test =
    tests.length === 0
      ? () => true
      : (row) =>
          filter.match === "any"
            ? tests.some((test) => test(row))
            : tests.every((test) => test(row));
  const search = filter.search?.toLowerCase() ?? "";
  const found = rows.filter(
    (row) =>
      isFound(row) &&
      [row.name, row.content, row.comment ?? ""].some((one) => one.toLowerCase().includes(search)),
  );
  const { order, direction } = filter;
  if (order === undefined) return found;
  const sign = direction === "desc" ? -1 : 1;
  return found.toSorted((a, b) => sign * compared(a[order], b[order]));
}

function testsOf(filter: Filter): readonly Test[] {
  const tests: Test[] = [];
  const { type, proxied } = filter;
  if (type !== undefined) tests.push((row) => row.type === type.toUpperCase());
  if (proxied !== undefined) tests.push((row) => (row.proxied === 1) === (proxied === "true"));
  const wanted = filter as Readonly<Record<string, unknown>>;
  for (const field of FIELDS) {
    for (const kind of KINDS) {
      const keys = [`${field}.${kind}`, `${field}[${kind}]`, ...(kind === "exact" ? [field] : [])];
      for (const key of keys) {
        const value = wanted[key];
        if (typeof value !== "string") continue;
        const sought = value.toLowerCase();
        tests.push((row) => COMPARE[kind]((row[field] ?? "").toLowerCase(), sought));
      }
    }
  }
  return tests;
}

const COMPARE: Record<(typeof KINDS)[number], (text: string, value: string) => boolean> = {
  exact: (one, value) => one === value,
  contains: (one, value) => one.includes(value),
  startswith: (one, value) => one.startsWith(value),
  endswith: (one, value) => one.endsWith(value),
};

function compared(a: string | number, b: string | number): number {
  return typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en");
}
