import type { Aim } from "./aims.ts";
import type { IdleRow } from "./ingress/report.ts";
import type { MemoryUse } from "./memory.ts";
import type { Row } from "./rows.ts";

export interface Report {
  readonly rows: readonly Row[];
  readonly aims: readonly Aim[];
  /** Idle TLS connections. */
  readonly idle?: readonly IdleRow[];
}

const BASELINE = "native";

/** A table for each combination of connections and body, in the order of measurement. */
export function renderRows(rows: readonly Row[]): string {
  const tables = Map.groupBy(rows, (row) => `${row.body}, ${plural(row.connections)}`);
  return [...tables].map(([title, group]) => `${title}\n${renderTable(group)}`).join("\n\n");
}

export function renderMemory({ empty, stored, inUse }: MemoryUse): string {
  return `memory of the gateway: ${mb(empty)} at first, ${mb(stored)} with 10,000 certificates, ${mb(inUse)} with 100 of them in use`;
}

export function renderAims(aims: readonly Aim[]): string {
  return aims
    .map(({ name, aim, measured, holds }) => {
      const verdict = measured === null ? "not measured" : holds ? "holds" : "missed";
      return `${verdict.padEnd(13)}${String(measured ?? "–").padStart(7)}  (aim ${aim})  ${name}`;
    })
    .join("\n");
}

function renderTable(rows: readonly Row[]): string {
  const wholes = rows.filter(({ subject }) => !subject.includes(" › "));
  const baseline = rows.find(({ subject }) => subject === BASELINE);
  const lines = wholes.map((row) => [
    row.subject,
    figure(row.rps),
    baseline === undefined ? "–" : (row.rps / baseline.rps).toFixed(2),
    figure(row.p50_ms),
    figure(row.p99_ms),
    figure(row.cpu_us),
    rows
      .filter(({ subject }) => subject.startsWith(`${row.subject} › `))
      .map(({ subject, cpu_us }) => `${subject.split(" › ")[1]} ${figure(cpu_us)}`)
      .join(", "),
  ]);
  const head = ["", "requests/s", `÷ ${BASELINE}`, "p50 ms", "p99 ms", "CPU µs", "of which"];
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((line) => line[column]!.length)),
  );
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, column) =>
          column === 0 || column === 6
            ? cell.padEnd(widths[column]!)
            : cell.padStart(widths[column]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function figure(value: number | null): string {
  if (value === null) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function plural(connections: number): string {
  return connections === 1 ? "1 connection" : `${connections} connections`;
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
