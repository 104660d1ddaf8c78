import { availableParallelism } from "node:os";
import { disturbed, figure, quotient, table } from "../markdown.ts";
import type { Row } from "../rows.ts";
import { WAYS } from "./front.ts";

export interface IdleRow {
  readonly subject: string;
  readonly connections: number;
  /** KiB of the front's memory for each connection. Null: it closed some connections. */
  readonly kib_each: number | null;
}

export interface IngressReport {
  readonly rows: readonly Row[];
  readonly idle: readonly IdleRow[];
  /** The largest share of the machine's CPU that other work took during one measurement, 0 to 1. */
  readonly disturbance: number;
}

const BASELINE = "nginx";

/** Tables in Markdown. */
export function renderIngress({ rows, idle, disturbance }: IngressReport): string {
  const groups = Map.groupBy(
    rows.filter(({ body }) => WAYS.some((way) => way === body)),
    ({ body, connections }) =>
      `${body}, ${connections === 1 ? "1 connection" : `${connections} connections`}`,
  );
  const tables = [...groups].map(([title, group]) => requestTable(title, group));
  return [
    `Medians of one run on ${availableParallelism()} cores, with the clients on the same${disturbed(disturbance)}.`,
    ...tables,
    handshakeTable(rows),
    idleTable(idle),
  ].join("\n\n");
}

function requestTable(title: string, rows: readonly Row[]): string {
  const base = rows.find(({ subject }) => subject === `${BASELINE} › proxy`);
  const lines = rows
    .filter(({ subject }) => !subject.includes(" › "))
    .map((row) => {
      const of = (process: string): number | null =>
        rows.find(({ subject }) => subject === `${row.subject} › ${process}`)?.cpu_us ?? null;
      return [
        row.subject,
        figure(row.rps),
        figure(row.p50_ms),
        figure(row.p99_ms),
        figure(of("proxy")),
        quotient(of("proxy"), base?.cpu_us ?? null),
        figure(of("workerd")),
      ];
    });
  const head = [
    title,
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    `÷ ${BASELINE}`,
    "Worker's CPU µs",
  ];
  return table(head, lines);
}

function handshakeTable(rows: readonly Row[]): string {
  const all = rows.filter(({ body }) => body.startsWith("handshakes, "));
  const lines = all.map((row) => {
    const base = all.find(({ subject, body }) => subject === BASELINE && body === row.body);
    const way = row.body.slice("handshakes, ".length);
    const each = row.cpu_us === null ? null : 1e6 / row.cpu_us;
    return [
      `${row.subject}, ${way}`,
      figure(row.rps),
      figure(row.cpu_us),
      quotient(row.cpu_us, base?.cpu_us ?? null),
      figure(each),
    ];
  });
  const head = [
    "full handshakes, TLS 1.3",
    "a second",
    "CPU µs each",
    `÷ ${BASELINE}`,
    "a second of one core's CPU",
  ];
  return table(head, lines);
}

function idleTable(idle: readonly IdleRow[]): string {
  const base = idle.find(({ subject }) => subject === BASELINE)?.kib_each ?? null;
  const lines = idle.map(({ subject, kib_each }) => [
    subject,
    figure(kib_each),
    quotient(kib_each, base),
  ]);
  const count = idle[0]?.connections.toLocaleString("en-US") ?? "0";
  return table([`${count} TLS connections, idle`, "KiB each", `÷ ${BASELINE}`], lines);
}
