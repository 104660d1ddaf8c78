import * as fc from "fast-check";

/** The parts of a JSON schema that these tests read. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
}

/**
 * Bodies that match the schema in most places, so that they get past it to the code behind. Their texts and numbers are
 * those that tend to break databases, URLs, dates and objects.
 */
export function described(schema: JsonSchema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 12, arbitrary: asSaid(schema) }, { weight: 1, arbitrary: oddValues });
}

function asSaid(schema: JsonSchema): fc.Arbitrary<unknown> {
  const ways = schema.anyOf ?? schema.oneOf;
  if (ways !== undefined) return fc.oneof(...ways.map(described));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const types = [schema.type ?? []].flat();
  return types.length === 0 ? oddValues : fc.oneof(...types.map((type) => ofType(type, schema)));
}

function ofType(type: string, schema: JsonSchema): fc.Arbitrary<unknown> {
  switch (type) {
    case "string":
      return oddTexts;
    case "integer":
    case "number":
      return fc.constantFrom(schema.minimum ?? 0, schema.maximum ?? 60, 1, ...oddNumbers);
    case "boolean":
      return fc.boolean();
    case "array":
      return fc.array(described(schema.items ?? {}), { maxLength: 3 });
    case "object":
      return objects(schema);
    default:
      return fc.constant(null);
  }
}

function objects({
  properties = {},
  required = [],
  additionalProperties: more,
}: JsonSchema): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, described(schema)]),
  );
  const named = fc.record(fields, { requiredKeys: [...required] });
  if (typeof more !== "object") return named;
  return fc
    .tuple(named, fc.array(fc.tuple(oddTexts, described(more)), { maxLength: 3 }))
    .map(([known, others]) => ({ ...known, ...Object.fromEntries(others) }));
}

const oddTexts = fc.constantFrom(
  "there", "", " ", "\0", "a\nb", "\ud800", "A\ud800", "A\udfff", "a\ufffd", "__proto__", "constructor", "💩", "x".repeat(300),
  "0", "-1", "1e999", "1970-01-01T00:00:00Z", "+275760-09-13T00:00:00.001Z", "2026-02-30T00:00:00Z", "999999999999999h", "1h",
  "*", "*.example.com", "a.example", "xn--a", "a..b", "127.0.0.1", "::1", "http://", "https://[fe80::1%25eth0]:0/", "file:///etc/passwd",
  "https://a.example/", "../../etc/passwd", "%00", "'; drop table accounts; --", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
); // prettier-ignore

const oddNumbers = [-1, 2 ** 31, 2 ** 53, 1e20, 1.5, -1e308, 5e-324];

const oddValues: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, [], {}, [null], [[]], { toString: 1 }, { length: -1 }),
  fc.constantFrom('{"then":1}', '{"__proto__":{"a":1}}', '{"constructor":{"prototype":1}}').map((json) => JSON.parse(json) as unknown),
  fc.constantFrom(499, 3_000).map(nested),
  oddTexts,
  fc.jsonValue(),
); // prettier-ignore

/** Nested lists and objects. */
function nested(times: number): unknown {
  let value: unknown = "there";
  for (let time = 0; time < times; time += 1) value = time % 2 === 0 ? [value] : { a: value };
  return value;
}
