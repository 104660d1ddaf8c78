/** One workload that every subject is measured with. */
export interface Cell {
  readonly connections: number;
  readonly body: "small" | "1 MiB";
  /** Whether the origin closes each connection after its response, and whether it then resumes sessions. */
  readonly handshakes: "pooled" | "each" | "resumed";
  readonly rounds: number;
  readonly seconds: number;
}

const measured = (
  body: Cell["body"],
  handshakes: Cell["handshakes"],
  connections: readonly number[],
  [rounds, seconds]: readonly [number, number],
): Cell[] =>
  connections.map((count) => ({ connections: count, body, handshakes, rounds, seconds }));

/** About a quarter of an hour. */
export const fullPlan: readonly Cell[] = [
  ...measured("small", "pooled", [16], [7, 4]),
  ...measured("small", "pooled", [1, 64], [5, 3]),
  ...measured("1 MiB", "pooled", [1, 16, 64], [3, 2]),
  ...measured("small", "each", [1, 16, 64], [3, 2]),
  ...measured("small", "resumed", [16], [3, 2]),
  ...measured("1 MiB", "each", [16], [3, 2]),
];

/** Under three minutes; most of it for measurements that aims depend on. */
export const quickPlan: readonly Cell[] = [
  ...measured("small", "pooled", [16], [3, 2]),
  ...measured("small", "pooled", [1, 64], [1, 1]),
  ...measured("1 MiB", "pooled", [16], [1, 3]),
  ...measured("small", "each", [16], [1, 1]),
  ...measured("small", "resumed", [16], [1, 1]),
];

/** The origin's path for a cell. */
export function pathOf({ body, handshakes }: Cell): string {
  return `/${handshakes}/${body === "small" ? "small" : "large"}`;
}

/** The body's name in a row: `small`, or `small, a handshake each`. */
export function bodyOf({ body, handshakes }: Cell): string {
  return `${body}${HANDSHAKES[handshakes]}`;
}

const HANDSHAKES: Readonly<Record<Cell["handshakes"], string>> = {
  pooled: "",
  each: ", a handshake each",
  resumed: ", a new connection each, the origin resumes",
};
