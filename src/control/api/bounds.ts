import { z } from "@hono/zod-openapi";

/**
 * Schemas of what has no bound by its nature. Every text, list and object that the API stores is bounded by itself, and
 * not only by the length of a body.
 */

/** A certificate with its chain, a bundle of CAs, or a private key. */
export const pem: z.ZodString = z.string().max(1_000_000);

/** A note on a version or a deployment. */
export const annotation: z.ZodString = z.string().max(4096);

/** JSON of any shape. @param longest characters of its text */
export function anyJson(longest: number): z.ZodUnknown {
  return z.unknown().refine(noLonger(longest), `is longer than ${longest} characters of JSON`);
}

/** @param longest characters of a value's JSON */
export function noLonger(longest: number): (value: unknown) => boolean {
  return (value) => (JSON.stringify(value)?.length ?? 0) <= longest;
}

/** An object whose names the client chooses. @param most names */
export function fieldsOf<T extends z.ZodType>(value: T, most: number): z.ZodRecord<z.ZodString, T> {
  return z
    .record(z.string().max(255), value)
    .refine((fields) => Object.keys(fields).length <= most, `has more than ${most} fields`);
}
