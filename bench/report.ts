import type { Aim } from "./aims.ts";
import { figure, quotient, table } from "./markdown.ts";
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
  return [...tables].map(([title, group]) => renderTable(title, group)).join("\n\n");
}

export function renderMemory({ empty, stored, inUse }: MemoryUse): string {
  return `memory of the gateway: ${mb(empty)} at first, ${mb(stored)} with 10,000 certificates, ${mb(inUse)} with 100 of them in use`;
}

/** A line for each aim: reached or not, and beside it what others reached and what rules it out. */
export function renderAims(aims: readonly Aim[]): string {
  return table(
    ["aim", "", "measured", "", "others", "ruled out"],
    aims.map(({ name, aim, measured, holds, peers = {}, ruledOut }) => [
      name,
      aim,
      String(measured ?? "–"),
      measured === null ? "not measured" : holds ? "holds" : "missed",
      Object.entries(peers)
        .map(([peer, value]) => `${peer} ${value}`)
        .join(", "),
      ruledOut === undefined ? "" : `${ruledOut.by}: ${ruledOut.limit}`,
    ]),
  );
}

function renderTable(title: string, rows: readonly Row[]): string {
  const wholes = rows.filter(({ subject }) => !subject.includes(" › "));
  const baseline = rows.find(({ subject }) => subject === BASELINE);
  const lines = wholes.map((row) => [
    row.subject,
    figure(row.rps),
    quotient(row.rps, baseline?.rps ?? null),
    figure(row.p50_ms),
    figure(row.p99_ms),
    figure(row.cpu_us),
    rows
      .filter(({ subject }) => subject.startsWith(`${row.subject} › `))
      .map(({ subject, cpu_us }) => `${subject.split(" › ")[1]} ${figure(cpu_us)}`)
      .join(", "),
  ]);
  const head = [title, "requests/s", `÷ ${BASELINE}`, "p50 ms", "p99 ms", "CPU µs", "of which"];
  return table(head, lines);
}

function plural(connections: number): string {
  return connections === 1 ? "1 connection" : `${connections} connections`;
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
