import { z } from "@hono/zod-openapi";

/** Schemas of results by operation: `GET /accounts`. */
export type Results = Readonly<Record<string, z.ZodType>>;

export const text: z.ZodString = z.string();
export const time: z.ZodISODateTime = z.iso.datetime();
export const count: z.ZodInt = z.int();
export const flag: z.ZodBoolean = z.boolean();
export const texts: z.ZodArray<z.ZodString> = z.array(text);

/** A deleted resource. */
export const gone: z.ZodType = z.object({ id: text }).openapi("Deleted");

/** The list, the name of the list operation and the single resource: the answers of most resources. */
export function crud(path: string, one: z.ZodType, methods: string, id: string): Results {
  const results: Record<string, z.ZodType> = {
    [`GET ${path}`]: z.array(one),
    [`POST ${path}`]: one,
    [`GET ${path}/{${id}}`]: one,
    [`PUT ${path}/{${id}}`]: one,
    [`PATCH ${path}/{${id}}`]: one,
    [`DELETE ${path}/{${id}}`]: gone,
  };
  const wanted = methods.split(" ");
  return Object.fromEntries(
    Object.entries(results).filter(([operation]) =>
      wanted.includes(
        operation.endsWith("}") ? operation.split(" ")[0]! : `${operation.split(" ")[0]}*`,
      ),
    ),
  );
}
