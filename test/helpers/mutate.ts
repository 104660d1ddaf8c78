/** One change of a byte string, given as numbers, so that a fuzzer can generate and shrink it. */
export interface Mutation {
  readonly kind: "flip" | "set" | "insert" | "remove" | "copy" | "truncate";
  /** Taken modulo the length. */
  readonly at: number;
  readonly value: number;
}

export function mutate(bytes: Uint8Array, mutations: readonly Mutation[]): Buffer {
  return mutations.reduce<Buffer>(mutateOnce, Buffer.from(bytes));
}

function mutateOnce(bytes: Buffer, { kind, at, value }: Mutation): Buffer {
  const index = bytes.length === 0 ? 0 : at % bytes.length;
  const before = bytes.subarray(0, index);
  const rest = bytes.subarray(index);
  switch (kind) {
    case "flip":
      return Buffer.concat([before, byte((rest[0] ?? 0) ^ (1 << (value % 8))), rest.subarray(1)]);
    case "set":
      return Buffer.concat([before, byte(value), rest.subarray(1)]);
    case "insert":
      return Buffer.concat([before, byte(value), rest]);
    case "remove":
      return Buffer.concat([before, rest.subarray(1 + (value % 16))]);
    case "copy":
      return Buffer.concat([before, rest.subarray(0, 1 + value), rest]);
    default:
      return Buffer.from(before);
  }
}

function byte(value: number): Buffer {
  return Buffer.from([value]);
}
