import { z } from "@hono/zod-openapi";

const NO_CONTROL_CHARACTERS = /^[^\p{Cc}]*$/u;

/** A name or an id: one line of text that every database can look up. */
export const oneLine: z.ZodString = z
  .string()
  .regex(NO_CONTROL_CHARACTERS, "has control characters");

export function isOneLine(text: string): boolean {
  return NO_CONTROL_CHARACTERS.test(text);
}
