import type { Row } from "./rows.ts";
import { round } from "./rows.ts";

export interface Aim {
  readonly name: string;
  /** `≥ 1.0`: the target that `measured` is compared with. */
  readonly aim: string;
  /** Null: a tool for the measurement is missing, or nothing was measured. */
  readonly measured: number | null;
  readonly holds: boolean;
  /** The same of others, in the same run. */
  readonly peers?: Readonly<Record<string, number>>;
  /** The aim is beyond what something that cannot be changed here reached in the same run. */
  readonly ruledOut?: Limit;
}

export interface Limit {
  readonly by: string;
  readonly limit: number;
}

/** Compares the rows, and the memory (MB), which has no row, with the aims. */
export function aimsOf(rows: readonly Row[], memoryMb: number | null): Aim[] {
  const find = (subject: string, body: string): Row | undefined =>
    rows.find((row) => row.subject === subject && row.connections === 16 && row.body === body);
  /** Of one figure of two subjects. Null: one of them was not measured. */
  const ratio = (one: string, other: string, of: keyof Row, body = "small"): number | null => {
    const [above, below] = [find(one, body)?.[of], find(other, body)?.[of]];
    return typeof above === "number" && typeof below === "number" ? above / below : null;
  };
  const peers = (names: readonly string[], other: string, body = "small"): Peers =>
    names.map((name) => [name, ratio(name, other, "rps", body)]);
  const sidecars = ["workerd proxy", "nginx sidecar", "HAProxy sidecar"];
  const handshakes = "small, a handshake each";
  const handshakeCpu = (subject: string): number | null =>
    find(subject, handshakes)?.cpu_us ?? null;
  return [
    atLeast(
      "gateway throughput ÷ native (a Worker's own port), 16 connections",
      1.0,
      ratio("gateway", "native", "rps"),
      { peers: peers(sidecars, "native") },
    ),
    atLeast(
      "with the ingress ÷ native, 16 connections",
      0.75,
      ratio("gateway + ingress", "native", "rps"),
      { peers: peers(sidecars, "native") },
    ),
    atMost("gateway p99 ÷ native p99", 0.1, ratio("gateway", "native", "p99_ms"), {
      peers: sidecars.map((name) => [name, ratio(name, "native", "p99_ms")]),
      limit: ["native with our flags", ratio("native, our flags", "native", "p99_ms")],
    }),
    atMost(
      "gateway CPU a request ÷ workerd as a proxy without JavaScript",
      0.6,
      ratio("gateway › gateway", "workerd proxy › proxy", "cpu_us"),
      {
        peers: [
          ["nginx", ratio("nginx sidecar › nginx", "workerd proxy › proxy", "cpu_us")],
          ["HAProxy", ratio("HAProxy sidecar › HAProxy", "workerd proxy › proxy", "cpu_us")],
        ],
        limit: [
          "a relay in Node that reads no HTTP",
          ratio("Node relay › relay", "workerd proxy › proxy", "cpu_us"),
        ],
      },
    ),
    atLeast("in-process ÷ native", 1.0, ratio("in-process", "native", "rps")),
    atLeast(
      "full path with ingress ÷ Node + undici",
      0.7,
      ratio("gateway + ingress", "Node + undici", "rps"),
      { limit: ["native", ratio("native", "Node + undici", "rps")] },
    ),
    atLeast("1 MiB, gateway ÷ native", 0.79, ratio("gateway", "native", "rps", "1 MiB"), {
      peers: peers(sidecars, "native", "1 MiB"),
    }),
    atLeast(
      "1 MiB, with the ingress ÷ native",
      0.6,
      ratio("gateway + ingress", "native", "rps", "1 MiB"),
      { peers: peers(sidecars, "native", "1 MiB") },
    ),
    atLeast(
      "handshakes a second ÷ openssl s_time, one process each",
      0.7,
      ratioOf(
        find("gateway alone", handshakes)?.rps,
        rows.find(
          (row) =>
            row.subject === "openssl s_time" && row.connections === 1 && row.body === handshakes,
        )?.rps,
      ),
    ),
    atMost("gateway CPU µs a handshake", 1_200, handshakeCpu("gateway alone"), {
      peers: [["openssl s_time", handshakeCpu("openssl s_time")]],
    }),
    atMost("MB for 10,000 stored certificates, 100 of them in use", 150, memoryMb),
  ];
}

/** Of the p99 with 64 connections. */
export function aimOfTail(busyMs: number, quietMs: number): Aim {
  return atMost(
    "p99 while deploys, rotations and uploads go on ÷ quiet p99",
    1.5,
    busyMs / quietMs,
  );
}

function ratioOf(one: number | undefined, other: number | undefined): number | null {
  return one === undefined || other === undefined ? null : one / other;
}

type Peers = readonly (readonly [name: string, measured: number | null])[];

/** What an aim is shown beside. */
interface Beside {
  readonly peers?: Peers;
  /** What bounds it. */
  readonly limit?: readonly [by: string, measured: number | null];
}

export function atLeast(
  name: string,
  bound: number,
  measured: number | null,
  beside: Beside = {},
): Aim {
  return aimOf({ name, aim: `≥ ${bound}`, measured, beside, reaches: (value) => value >= bound });
}

export function atMost(
  name: string,
  bound: number,
  measured: number | null,
  beside: Beside = {},
): Aim {
  return aimOf({ name, aim: `≤ ${bound}`, measured, beside, reaches: (value) => value <= bound });
}

function aimOf({
  name,
  aim,
  measured,
  beside: { peers = [], limit: [by, limit] = ["", null] },
  reaches,
}: Pick<Aim, "name" | "aim" | "measured"> & {
  readonly beside: Beside;
  readonly reaches: (value: number) => boolean;
}): Aim {
  const known = peers.flatMap(([peer, value]) => (value === null ? [] : [[peer, round(value)]]));
  return {
    name,
    aim,
    measured: measured === null ? null : round(measured),
    holds: measured !== null && reaches(measured),
    ...(known.length > 0 && { peers: Object.fromEntries(known) as Record<string, number> }),
    ...(limit !== null && !reaches(limit) && { ruledOut: { by, limit: round(limit) } }),
  };
}
