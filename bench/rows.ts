import { median, type Sample } from "./measure.ts";

/**
 * A line of the result. `cpu_us` is the CPU that all processes of the subject use for a request, without the load
 * generator and the origin. If a subject has several processes, each has an additional row under the name `{subject} ›
 * {process}`.
 */
export interface Row {
  readonly subject: string;
  readonly connections: number;
  readonly body: string;
  readonly rps: number;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly cpu_us: number | null;
}

/** The medians of all rounds. The first row is the whole subject. */
export function rowsOf(
  name: string,
  { connections, body }: Pick<Row, "connections" | "body">,
  samples: readonly Sample[],
): Row[] {
  const middle = (pick: (sample: Sample) => number): number => round(median(samples.map(pick)));
  const rest = {
    connections,
    body,
    rps: middle(({ rps }) => rps),
    p50_ms: middle(({ p50Ms }) => p50Ms),
    p99_ms: middle(({ p99Ms }) => p99Ms),
  };
  const roles = Object.keys(samples[0]!.cpu);
  const sum = middle(({ cpu }) => Object.values(cpu).reduce((all, one) => all + one, 0));
  const rows: Row[] = [{ subject: name, ...rest, cpu_us: sum }];
  if (roles.length === 1) return rows;
  for (const role of roles) {
    const subject = `${name} › ${role}`;
    rows.push({ subject, ...rest, cpu_us: middle(({ cpu }) => cpu[role]!) });
  }
  return rows;
}

/** A benchmark cannot guarantee more than three significant figures. */
export function round(value: number): number {
  return value >= 1_000 ? Math.round(value) : Number(value.toPrecision(4));
}
