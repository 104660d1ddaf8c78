import type { Row } from "./rows.ts";
import { round } from "./rows.ts";

export interface Aim {
  readonly name: string;
  /** `≥ 1.0`: the target that `measured` is compared with. */
  readonly aim: string;
  /** Null: a tool for the measurement is missing, or nothing was measured. */
  readonly measured: number | null;
  readonly holds: boolean;
}

/** Compares the rows, and the memory (MB), which has no row, with the aims. */
export function aimsOf(rows: readonly Row[], memoryMb: number | null): Aim[] {
  const find = (subject: string, connections = 16, body = "small"): Row | undefined =>
    rows.find(
      (row) => row.subject === subject && row.connections === connections && row.body === body,
    );
  const handshakes = "small, a handshake each";
  return [
    atLeast(
      "gateway throughput ÷ native, 16 connections",
      1.0,
      ratio(find("gateway"), find("native"), "rps"),
    ),
    atMost("gateway p99 ÷ native p99", 0.1, ratio(find("gateway"), find("native"), "p99_ms")),
    atMost(
      "gateway CPU a request ÷ workerd as a proxy without JavaScript",
      0.6,
      ratio(find("gateway › gateway"), find("workerd proxy › proxy"), "cpu_us"),
    ),
    atLeast("in-process ÷ native", 1.0, ratio(find("in-process"), find("native"), "rps")),
    atLeast(
      "full path with ingress ÷ Node + undici",
      0.7,
      ratio(find("gateway + ingress"), find("Node + undici"), "rps"),
    ),
    atLeast(
      "handshakes a second ÷ openssl s_time, one process each",
      0.7,
      ratio(find("gateway alone", 16, handshakes), find("openssl s_time", 1, handshakes), "rps"),
    ),
    atMost("MB for 10,000 stored certificates, 100 of them in use", 150, memoryMb),
  ];
}

function ratio(one: Row | undefined, other: Row | undefined, of: keyof Row): number | null {
  const [above, below] = [one?.[of], other?.[of]];
  return typeof above === "number" && typeof below === "number" ? above / below : null;
}

function atLeast(name: string, bound: number, measured: number | null): Aim {
  return {
    name,
    aim: `≥ ${bound.toFixed(1)}`,
    measured: measured === null ? null : round(measured),
    holds: measured !== null && measured >= bound,
  };
}

export function atMost(name: string, bound: number, measured: number | null): Aim {
  return {
    name,
    aim: `≤ ${bound}`,
    measured: measured === null ? null : round(measured),
    holds: measured !== null && measured <= bound,
  };
}
