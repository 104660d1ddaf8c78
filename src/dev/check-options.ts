import { z } from "zod";
import { Failure } from "../failures/failures.ts";

/**
 * JavaScript callers have no type check, and a misspelt option would present another certificate, or test nothing.
 * @param what how the caller writes it: `mtls()`
 * @throws Failure `dev_option_malformed`, naming the first thing that is wrong
 */
export function checkOptions(what: string, schema: z.ZodType, value: unknown): void {
  const result = schema.safeParse(value);
  if (result.success) return;
  const [issue] = result.error.issues as [z.core.$ZodIssue];
  const path = issue.path.map(String);
  const place = [what, ...path].join(" ");
  if (issue.code !== "unrecognized_keys") {
    throw malformed(`${place}: ${issue.message}`, path);
  }
  const [key = ""] = issue.keys;
  const known = knownKeys(schema, path);
  throw malformed(`${place} has no "${key}"${suggestion(key, known)}`, [...path, key], known);
}

/** `: did you mean "expired"?`, or an empty text. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = known
    .map((one) => ({ one, far: distance(name.toLowerCase(), one.toLowerCase()) }))
    .filter(({ one, far }) => far <= Math.max(1, Math.floor(one.length / 3)))
    .toSorted((a, b) => a.far - b.far)[0];
  return near === undefined ? "" : `: did you mean "${near.one}"?`;
}

function malformed(message: string, path: readonly string[], known?: readonly string[]): Failure {
  return new Failure("dev_option_malformed", {
    message,
    fix: known ? `Known are: ${known.join(", ")}.` : "See docs/development.md for its form.",
    facts: { path },
  });
}

/** The names of the fields that the schema has at `path`. */
function knownKeys(schema: z.ZodType, path: readonly string[]): readonly string[] {
  let at: z.ZodType = bare(schema);
  for (const step of path) {
    if (at instanceof z.ZodRecord) at = bare(at.valueType as z.ZodType);
    else if (at instanceof z.ZodObject) at = bare(at.shape[step] as z.ZodType);
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function bare(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional ? bare(schema.unwrap() as z.ZodType) : schema;
}

/** The Levenshtein distance: how many letters to change, add or leave out. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const changed = row[j]! + (letter === other ? 0 : 1);
      next.push(Math.min(changed, row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row.at(-1)!;
}

const flag = z.boolean().optional();

export const faultsSchema: z.ZodType = z.strictObject({
  expired: flag,
  wrongName: flag,
  unknownCa: flag,
  wantsAnotherCa: flag,
  tls12Only: flag,
  resets: flag,
  slow: z
    .number()
    .min(0)
    .max(2 ** 31 - 1)
    .optional(),
});

const originFields = {
  port: z.int().min(0).max(65_535).optional(),
  address: z.string().optional(),
  names: z.array(z.string().min(1)).optional(),
  faults: faultsSchema.optional(),
  to: z.instanceof(URL).optional(),
  onRequest: z.function().optional(),
};

export const mtlsOriginSchema: z.ZodType = z.strictObject({
  project: z.string().optional(),
  ...originFields,
});

export const mtlsDatabaseSchema: z.ZodType = z.strictObject({
  project: z.string().optional(),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,62}$/, "is not a name of lower-case letters, digits, _ and -")
    .optional(),
});

export const devOriginSchema: z.ZodType = z.strictObject({
  authority: z.custom((value) => typeof value === "object" && value !== null, "is missing"),
  onRefused: z.function().optional(),
  ...originFields,
});

const files = z.strictObject({
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
  identity: z.string().min(1).max(64).optional(),
  database: z.string().min(1).optional(),
  identityEnvironment: z.string().min(1).max(64).optional(),
});

export const bindingsSchema: z.ZodType = z.record(
  z.string().regex(/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u, "is no name of a binding"),
  files
    .refine(({ cert, key }) => cert !== undefined || key === undefined, {
      message: "a key needs its certificate: give `cert` as well",
    })
    .refine(({ cert, identity }) => cert === undefined || identity === undefined, {
      message: "it presents either a certificate or an identity",
    })
    .refine(
      ({ identity, identityEnvironment: named }) => identity !== undefined || named === undefined,
      {
        message: "an environment needs its identity: give `identity` as well",
      },
    ),
);

export const pluginSchema: z.ZodType = z.strictObject({
  certificates: z
    .record(
      z.string(),
      z.strictObject({ cert: z.string().min(1), key: z.string().min(1).optional() }),
    )
    .optional(),
});

const host = z.string().regex(/^[a-z0-9.:[\]_-]+$/i, "is no host name");
const origin = z.custom<{ port: number }>(
  (value) => Number.isInteger((value as { port?: unknown } | null)?.port),
  "is no origin: give what mtlsOrigin() returned",
);

export const mtlsOptionsSchema: z.ZodType = z.strictObject({
  project: z.string().optional(),
  environment: z.string().optional(),
  account: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, "is no account")
    .optional(),
  hosts: z.record(host, origin).optional(),
});
