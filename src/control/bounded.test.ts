import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "@hono/zod-openapi";
import { defaultControlLimits, type ControlContext } from "./api/context.ts";
import { allEndpoints } from "./app.ts";
import { bindingFields } from "./workers/requested-bindings.ts";
import { uploadMetadata } from "./workers/scripts/script-metadata.ts";

/** Fields that need no bound of their own, and why. */
const BOUNDED_OTHERWISE: readonly (readonly [field: RegExp, why: string])[] = [
  [/tokens\S* policies resources/, "the list of policies is no longer than 64 KiB"],
  [/ more fields$/, "they are refused by name, or not kept"],
  [/^put \S+\/policies\/\{name\}$/, "`policy_invalid` says how long a policy may be"],
  [/assets-upload-session manifest \{name\}$/, "`assets_manifest_invalid` says so of a path"],
  [/\/versions modules content_base64$/, "as large as an upload may be"],
  [/\/bulk value$/, "KV says how large a value may be"],
  [/\/bulk metadata$/, "KV says how large metadata may be"],
  [/\/(query|raw)( batch)? (sql|params)/, "a statement is not kept, and SQLite has its limits"],
  [/\/messages(\/batch messages)?( body)?$/, "`queue_message_too_large` says so of messages"],
];

test("every text, list and object that a body of the API may have is bounded by itself", () => {
  const context = { limits: defaultControlLimits, store: {} } as ControlContext;
  const endpoints = allEndpoints(context, {} as never, {} as never);
  const bodies = endpoints.flatMap(({ method, path, body }) =>
    body === undefined || body === "form" ? [] : [[`${method} ${path}`, body] as const],
  );
  assert.ok(bodies.length > 50);
  const all = [...bodies, ["metadata", uploadMetadata], ...Object.entries(bindingFields)] as const;
  const found = all.flatMap(([name, schema]) => [...unbounded(schema, name)]);
  assert.deepEqual([...new Set(found.filter((field) => !isKnown(field)))], []);
  for (const [field] of BOUNDED_OTHERWISE)
    assert.ok(
      found.some((one) => field.test(one)),
      `${field}`,
    );
});

test("what is too long or too many is refused in words that name the field and its bound", () => {
  const parsed = uploadMetadata.safeParse({ observability: { a: "x".repeat(20_000) } });
  assert.match(parsed.error!.issues[0]!.message, /is longer than 10000 characters of JSON/);
  assert.deepEqual(parsed.error!.issues[0]!.path, ["observability", "a"]);
  const many = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`a${i}`, ""]));
  const counted = uploadMetadata.safeParse({ annotations: many });
  assert.match(counted.error!.issues[0]!.message, /has more than 50 fields/);
});

function isKnown(field: string): boolean {
  return BOUNDED_OTHERWISE.some(([one]) => one.test(field));
}

const LONG = ["a", "A", "0", "-"].map((character) => character.repeat(2 ** 20 + 4));

/** The places of a schema that take more than any client sends. */
function* unbounded(schema: z.ZodType, at: string): Generator<string> {
  const takes = (value: unknown): boolean => schema.safeParse(value).success;
  if (schema instanceof z.ZodArray) {
    const limits = schema.def.checks?.map((check) => check._zod.def.check) ?? [];
    if (!limits.some((limit) => limit === "max_length" || limit === "length_equals")) yield at;
    yield* unbounded(schema.element as z.ZodType, at);
  } else if (schema instanceof z.ZodRecord) {
    yield* ofRecord(schema, at);
  } else if (schema instanceof z.ZodObject) {
    for (const [name, field] of Object.entries(schema.shape)) {
      yield* unbounded(field, `${at} ${name}`);
    }
    const more = schema.def.catchall;
    if (more && !(more instanceof z.ZodNever)) yield `${at} more fields`;
  } else if (schema instanceof z.ZodUnion) {
    for (const one of schema.options) yield* unbounded(one as z.ZodType, at);
  } else if ("innerType" in schema.def) {
    yield* unbounded(schema.def.innerType as z.ZodType, at);
  } else if (!(schema instanceof z.ZodNumber) && LONG.some(takes)) yield at;
}

function* ofRecord(schema: z.ZodRecord, at: string): Generator<string> {
  const { keyType: names, valueType: values } = schema as unknown as Record<string, z.ZodType>;
  const value = SAMPLES.find((one) => values!.safeParse(one).success);
  assert.ok(value !== undefined, `a value that ${at} takes is needed here`);
  const takes = (fields: object): boolean => schema.safeParse(fields).success;
  assert.ok(takes({ a: value }), at);
  const many = Array.from({ length: MANY }, (_, i) => [`a${i}`, value]);
  if (takes(Object.fromEntries(many))) yield at;
  if (takes({ [LONG[0]!]: value })) yield* unbounded(names!, `${at} {name}`);
  // An object that is bounded as a whole needs no bound for each of its values.
  const isText = typeof value === "string";
  if (!isText || LONG.some((text) => takes({ a: text }))) yield* unbounded(values!, `${at} {}`);
}

const MANY = 25_000;
/** One of these is a value of any object whose names the client chooses. */
const SAMPLES = ["a", null, { hash: "0".repeat(32), size: 1 }];
