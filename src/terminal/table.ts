import { visibleLine } from "./visible.ts";
import { colorsFor, writeLine, type Io } from "./io.ts";

/** Rows in columns as wide as their longest cell, under a line of names. Each stays on one line. */
export function writeTable(io: Io, names: readonly string[], given: readonly string[][]): void {
  const rows = given.map((cells) => cells.map(visibleLine));
  const widths = names.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  writeLine(io.stdout, colorsFor(io, io.stdout).dim(line(names)));
  for (const row of rows) writeLine(io.stdout, line(row));
}
