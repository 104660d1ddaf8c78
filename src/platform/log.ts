import { pino, type Logger } from "pino";
import pretty from "pino-pretty";
import type { Writable } from "node:stream";
import { visible } from "../terminal/visible.ts";
import { Failure } from "../failures/failures.ts";

const levels = ["debug", "info", "warn", "error"];

/** JSON lines for machines, short coloured lines on a terminal. */
export function createLog(options: {
  readonly level: string;
  readonly stream: Writable;
  readonly pretty: boolean;
}): Logger {
  if (!levels.includes(options.level)) {
    throw new Failure("usage", {
      message: `--log-level "${options.level}" is none of ${levels.join(", ")}`,
    });
  }
  return pino(
    {
      level: options.level,
      base: null,
      // Characters that JSON leaves as they are: whoever shows the file is not moved or misled by what others said.
      hooks: { streamWrite: visible },
    },
    options.pretty
      ? pretty({
          destination: options.stream,
          ignore: "pid,hostname",
          translateTime: "HH:MM:ss",
          // What a Worker prints is indented: no line of it looks like one of ours.
          messageFormat: (entry, key) => visible(String(entry[key])).replaceAll("\n", "\n    "),
        })
      : options.stream,
  );
}
