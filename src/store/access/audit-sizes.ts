import { createHash } from "node:crypto";

interface Change {
  readonly before?: Values;
  readonly after?: Values;
}

type Values = Readonly<Record<string, unknown>>;

/** Characters of what an entry keeps of the state before a change, and after it. */
const LARGEST = 131_072;

/** `audit verify` compares rows with these values. They are short by themselves. */
const COMPARED = /^(certificate|deployment|key|version|token)\.|^script\.(binding|delete)$/;

/** The log is kept for good and is read as a whole, so what a call may be long in is not kept in full. */
export function kept<T extends Change & { readonly action: string }>(audit: T): T {
  if (COMPARED.test(audit.action)) return audit;
  const { before, after } = audit;
  return {
    ...audit,
    ...(before && { before: shortened(before) }),
    ...(after && { after: shortened(after) }),
  };
}

function shortened(values: Values): Values {
  const text = JSON.stringify(values);
  if (text.length <= LARGEST) return values;
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { too_long: { characters: text.length, sha256 } };
}

/** Characters of the values that one list of entries shows. */
const MOST_SHOWN = 8 * 1024 * 1024;

/** Leaves out values once a list of entries has become long: each of its entries is there. */
export class ShownValues {
  #left: number = MOST_SHOWN;

  of<T extends Change>(entry: T): T {
    const { before, after } = entry;
    return {
      ...entry,
      ...(before && { before: this.#within(before) }),
      ...(after && { after: this.#within(after) }),
    };
  }

  #within(values: Values): Values {
    const { length } = JSON.stringify(values);
    if (length > this.#left) return { left_out: "ask for fewer entries at once" };
    this.#left -= length;
    return values;
  }
}
