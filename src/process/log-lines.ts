import type { Logger } from "pino";

/**
 * Writes a line of another process into our log: at its own level where it is a line of pino's,
 * else as a warning. False: it was none of pino's.
 */
export function relayLine(log: Logger, from: string, line: string): boolean {
  const entry = parse(line);
  if (entry === null) {
    if (line.trim() !== "") log.warn({ from }, line.slice(0, LONGEST));
    return false;
  }
  const { level, msg, time: _, pid: __, hostname: ___, name: ____, ...facts } = entry;
  log[levelOf(level)]({ from, ...facts }, typeof msg === "string" ? msg : "");
  return true;
}

/** Characters: what a process says is bounded, whatever it is made to say. */
const LONGEST = 16_384;

type Level = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

/** pino's numbers. */
const LEVELS: readonly Level[] = ["trace", "debug", "info", "warn", "error", "fatal"];

function levelOf(level: number): Level {
  return LEVELS[Math.floor(level / 10) - 1] ?? "warn";
}

function parse(line: string): ({ readonly level: number } & Record<string, unknown>) | null {
  if (!line.startsWith('{"level":')) return null;
  try {
    const entry = JSON.parse(line) as { level?: unknown };
    return typeof entry.level === "number" ? (entry as { level: number }) : null;
  } catch {
    return null;
  }
}
