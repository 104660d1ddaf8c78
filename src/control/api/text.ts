import { z } from "@hono/zod-openapi";

const NO_CONTROL_CHARACTERS = /^[^\p{Cc}]*$/u;

/** One line of text, that every database can look up. Each use gives its own `max`. */
export const line: z.ZodString = z.string().regex(NO_CONTROL_CHARACTERS, "has control characters");

/** A name or an id. */
export const oneLine: z.ZodString = line.max(1024);

export function isOneLine(text: string): boolean {
  return NO_CONTROL_CHARACTERS.test(text);
}
