import { readFile, writeFile } from "node:fs/promises";

/** A table in Markdown. The first column is text, the others are figures. */
export function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((cell, at) =>
    Math.max(cell.length, ...lines.map((line) => line[at]!.length)),
  );
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join(" | ")} |`;
  const rule = widths.map((width, at) =>
    at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [row(head), row(rule), ...lines.map(row)].join("\n");
}

/** Two or three significant figures. */
export function figure(value: number | null): string {
  if (value === null) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function quotient(one: number | null, other: number | null): string {
  return one === null || other === null || other === 0 ? "–" : (one / other).toFixed(2);
}

/** How the machine was while `disturbance` of its CPU, 0 to 1, went to other programs. Empty: quiet. */
export function disturbed(disturbance: number): string {
  if (disturbance <= 0.1) return "";
  return `, while up to ${Math.round(disturbance * 100)} % of the CPU went elsewhere`;
}

const DOCS = new URL("../docs/benchmarks.md", import.meta.url);

/** Replaces what the last run of `bench/PART.ts` wrote into docs/benchmarks.md. */
export async function writeIntoDocs(part: string, text: string): Promise<void> {
  const docs = await readFile(DOCS, "utf8");
  const begin = `<!-- bench/${part}.ts writes from here -->`;
  const from = docs.indexOf(begin);
  const to = docs.indexOf("<!-- to here -->", from);
  if (from === -1 || to === -1) {
    throw new Error(`docs/benchmarks.md has no place for what bench/${part}.ts writes`);
  }
  await writeFile(DOCS, `${docs.slice(0, from + begin.length)}\n\n${text}\n\n${docs.slice(to)}`);
}
