import type { KeptEntry } from "../contract/journal.ts";
import { colorsFor, writeLine, type Io } from "../terminal/io.ts";
import { visible } from "../terminal/visible.ts";

/** Writes one entry, for a person or as a line of JSON. */
export function writeEntry(
  io: Io,
  entry: KeptEntry,
  options: { readonly json?: true; readonly named?: boolean },
): void {
  if (options.json) {
    writeLine(io.stdout, JSON.stringify(entry));
    return;
  }
  const colors = colorsFor(io, io.stdout);
  const time = new Date(entry.eventTimestamp).toISOString();
  const name = options.named ? `${entry.scriptName}  ` : "";
  writeLine(io.stdout, `${colors.dim(time)}  ${name}${headOf(entry)}`);
  for (const { level, message } of entry.logs) {
    const text = message.map(said).join(" ");
    writeLine(io.stdout, indented(`(${visible(level)}) ${visible(text)}`));
  }
  for (const { name: kind, message, stack } of entry.exceptions) {
    const text = `${visible(kind)}: ${visible(message)}${stack === undefined ? "" : `\n${visible(stack)}`}`;
    writeLine(io.stdout, indented(colors.red(text)));
  }
}

function headOf(entry: KeptEntry): string {
  const ray = entry.ray === null ? "" : `  ray ${visible(entry.ray)}`;
  const what = eventOf(entry);
  if (entry.kind === "console") return `${what ?? "console"}${ray}`;
  if (entry.kind === "failure") return `${what ?? "failure"}  ${entry.code ?? ""}${ray}`;
  const times = [
    ...(entry.wallTime > 0 ? [`${entry.wallTime} ms`] : []),
    ...(entry.cpuTime > 0 ? [`cpu ${entry.cpuTime.toFixed(1)} ms`] : []),
  ].join(", ");
  return `${what ?? "call"}  ${entry.outcome}${times && `  ${times}`}${ray}`;
}

/** What called the Worker, in a few words. */
function eventOf({ event, entrypoint }: KeptEntry): string | null {
  const { request, response, cron, queue, rpcMethod, scheduledTime } = (event ?? {}) as Event;
  if (typeof request === "object" && request !== null) {
    const status = typeof response?.status === "number" ? ` ${response.status}` : "";
    return visible(`${String(request.method)} ${String(request.url)}${status}`);
  }
  if (typeof rpcMethod === "string") return visible(`${entrypoint ?? "default"}.${rpcMethod}()`);
  if (typeof cron === "string") return visible(`cron ${cron}`);
  if (typeof queue === "string") return visible(`queue ${queue}`);
  return scheduledTime === undefined ? null : "alarm";
}

interface Event {
  readonly request?: { readonly method?: unknown; readonly url?: unknown } | null;
  readonly response?: { readonly status?: unknown } | null;
  readonly cron?: unknown;
  readonly queue?: unknown;
  readonly rpcMethod?: unknown;
  readonly scheduledTime?: unknown;
}

function said(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
