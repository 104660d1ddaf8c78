import { randomBytes } from "node:crypto";
import type { LogEntry, LoggedException, LogLine } from "../../contract/worker-log.ts";

/**
 * Calls of a Worker reach us as lines on its process's output: a Worker of ours beside it gets them
 * from the runtime (`tails`) and writes each down behind a mark that the Worker does not know. That
 * costs a third of what a request to a socket would.
 */
export class TraceLines {
  readonly #mark: string = randomBytes(16).toString("hex");

  /** The module of the Worker that writes them. @param rate of all calls, 0 to 1 */
  module(rate: number): string {
    const chosen = rate >= 1 ? "" : `if (Math.random() >= ${Math.max(rate, 0)}) continue;`;
    return `export default { tail(events) { for (const event of events) { ${chosen} console.log("${this.#mark}" + JSON.stringify(event)); } } };`;
  }

  /** Null: the line is none of them. */
  read(line: string): Trace | null {
    return line.startsWith(this.#mark) ? readTrace(line.slice(this.#mark.length)) : null;
  }
}

/** One call, as the runtime tells of it. */
export type Trace = Pick<
  LogEntry,
  | "ray"
  | "outcome"
  | "eventTimestamp"
  | "event"
  | "entrypoint"
  | "logs"
  | "exceptions"
  | "diagnosticsChannelEvents"
  | "truncated"
>;

/** Never throws: what ran in workerd's place may write anything. Null: it says nothing. */
export function readTrace(json: string): Trace | null {
  if (json.length > LONGEST) return null;
  let read: unknown;
  try {
    read = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isObject(read)) return null;
  const { event, entrypoint, outcome, eventTimestamp, logs, exceptions } = read;
  return {
    ray: rayOf(event),
    outcome: text(outcome, 50) || "unknown",
    eventTimestamp: time(eventTimestamp),
    event: isObject(event) ? withoutBlanks(event) : null,
    ...(typeof entrypoint === "string" && { entrypoint: text(entrypoint, 255) }),
    logs: array(logs).flatMap(lineOf),
    exceptions: array(exceptions).flatMap(exceptionOf),
    diagnosticsChannelEvents: array(read["diagnosticsChannelEvents"]),
    truncated: read["truncated"] === true,
  };
}

/** Characters: the runtime stops at 256 KB a call, which grow by escapes. */
const LONGEST = 2 * 1024 * 1024;
const MOST = 1000;

function lineOf(line: unknown): LogLine[] {
  if (!isObject(line)) return [];
  const { level, message, timestamp } = line;
  return [
    {
      level: text(level, 20) || "log",
      message: Array.isArray(message) ? message.slice(0, MOST) : [message ?? ""],
      timestamp: time(timestamp),
    },
  ];
}

function exceptionOf(exception: unknown): LoggedException[] {
  if (!isObject(exception)) return [];
  const { name, message, stack, timestamp } = exception;
  return [
    {
      name: text(name, 255) || "Error",
      message: text(message, 65_536),
      ...(typeof stack === "string" && { stack: text(stack, 65_536) }),
      timestamp: time(timestamp),
    },
  ];
}

/** A client without a certificate is told of in twenty empty fields. */
function withoutBlanks(event: Record<string, unknown>): Record<string, unknown> {
  const { request } = event;
  const cf = isObject(request) ? request["cf"] : null;
  const client = isObject(cf) ? cf["tlsClientAuth"] : null;
  if (!isObject(request) || !isObject(cf) || !isObject(client)) return event;
  if (client["certPresented"] !== "0") return event;
  const { tlsClientAuth: _, ...rest } = cf;
  return { ...event, request: { ...request, cf: rest } };
}

function rayOf(event: unknown): string | null {
  const request = isObject(event) ? event["request"] : null;
  const headers = isObject(request) ? request["headers"] : null;
  const ray = isObject(headers) ? headers["cf-ray"] : null;
  return typeof ray === "string" && ray.length <= 40 ? ray : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function array(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST) : [];
}

function text(value: unknown, longest: number): string {
  return typeof value === "string" ? value.slice(0, longest) : "";
}

function time(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : Date.now();
}
