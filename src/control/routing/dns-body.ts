import { z } from "@hono/zod-openapi";
import { line, oneLine } from "../api/text.ts";
import type { DnsRecordBody, DnsRecordPatch } from "./dns-record.ts";

const nothing = z.union([z.null(), z.literal(false)]).optional();

const record = z.strictObject({
  type: oneLine.max(20),
  name: oneLine.min(1).max(255),
  content: line.max(4096),
  ttl: z.number().optional(),
  proxied: z.boolean().nullish(),
  comment: oneLine.max(500).nullish(),
  tags: z.array(oneLine.max(132)).max(20).nullish(),
  settings: z
    .strictObject({ ipv4_only: nothing, ipv6_only: nothing, flatten_cname: nothing })
    .nullish(),
  private_routing: nothing,
  priority: z.null().optional(),
  data: z.null().optional(),
  id: oneLine.optional(),
});

/** What clients may send. Fields that are not stored are accepted only if they have no effect. */
export const recordBody: z.ZodType<DnsRecordBody> = record;
export const recordPatch: z.ZodType<DnsRecordPatch> = record.partial();

interface Named {
  readonly id: string;
}

/** Changes that are made together, in this order. */
export interface DnsBatch {
  readonly deletes?: readonly Named[] | null | undefined;
  readonly patches?: readonly (DnsRecordPatch & Named)[] | null | undefined;
  readonly puts?: readonly (DnsRecordBody & Named)[] | null | undefined;
  readonly posts?: readonly DnsRecordBody[] | null | undefined;
}

/** Changes in one call, as on Cloudflare's free plan. */
export const MOST_CHANGES = 200;

const named = { id: oneLine.max(100) };
export const batchBody: z.ZodType<DnsBatch> = z.strictObject({
  deletes: z.array(z.strictObject(named)).max(MOST_CHANGES).nullish(),
  patches: z.array(record.partial().extend(named)).max(MOST_CHANGES).nullish(),
  puts: z.array(record.extend(named)).max(MOST_CHANGES).nullish(),
  posts: z.array(record).max(MOST_CHANGES).nullish(),
});
