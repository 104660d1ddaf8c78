import { SourceMap } from "node:module";

/** Reads the source map of a module. Null: it was deployed without one. */
export type ReadSourceMap = (moduleName: string) => Promise<string | null>;

/**
 * Replaces each `module:line:column` of a stack by the place in the source it was made from. A
 * Worker writes the stack and the maps, so neither takes long to read: lines that no engine writes
 * stay as they are, and so does all where a map is too large.
 */
export async function mapped(stack: string, readSourceMap: ReadSourceMap): Promise<string> {
  const maps = new Map<string, SourceMap | null>();
  const lines: string[] = [];
  for (const [number, line] of stack.split("\n").entries()) {
    const frame = number < MOST_LINES && line.length < LONGEST_LINE ? FRAME.exec(line) : null;
    lines.push(frame === null ? line : await placed(line, frame));
  }
  return lines.join("\n");

  async function placed(line: string, frame: RegExpExecArray): Promise<string> {
    const [, before = "", name = "", row, column, after = ""] = frame;
    if (!maps.has(name) && maps.size < MOST_MAPS) maps.set(name, parse(await readSourceMap(name)));
    const entry = maps.get(name)?.findEntry(Number(row) - 1, Number(column) - 1);
    if (entry === undefined || !("originalSource" in entry)) return line;
    const source = entry.originalSource.replace(/^(\.\.?\/)+/, "");
    return `${before}${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}${after}`;
  }
}

const FRAME = /^( +at (?:.*\()?)([^\s()][^()]*):(\d+):(\d+)(\)?)$/;
/** V8 writes ten frames, or as many as `Error.stackTraceLimit` says. */
const MOST_LINES = 200;
/** Characters. */
const LONGEST_LINE = 1_000;
const MOST_MAPS = 4;
/** Characters of a map: reading one of so many takes a third of a second. */
const LARGEST_MAP = 16 * 1024 * 1024;

/** A damaged source map is no reason to keep the exception from its author. */
function parse(text: string | null): SourceMap | null {
  if (text === null || text.length > LARGEST_MAP) return null;
  try {
    return new SourceMap(JSON.parse(text) as ConstructorParameters<typeof SourceMap>[0]);
  } catch {
    return null;
  }
}
