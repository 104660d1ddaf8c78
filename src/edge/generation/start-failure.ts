import { SourceMap } from "node:module";
import { Failure } from "../../failures/failures.ts";
import type { ScriptKey, WorkerVersion } from "../../contract/change-feed.ts";
import { missingWorkflow } from "../storage/workflows.ts";
import { WorkerdStartError } from "./workerd.ts";

/** Reads the source map of a module. Null: it was deployed without one. */
export type ReadSourceMap = (moduleName: string) => Promise<string | null>;

/**
 * Turns workerd's output into a message for the deployer: the exception, with lines of the original
 * source.
 */
export async function startFailure(
  key: ScriptKey & Pick<WorkerVersion, "workflows">,
  error: unknown,
  readSourceMap: ReadSourceMap,
): Promise<unknown> {
  if (!(error instanceof WorkerdStartError)) return error;
  const { scriptName } = key;
  if (error.reason === "timeout") {
    return new Failure("worker_start_timeout", {
      message: `the Worker "${scriptName}" did not start: ${error.message}`,
      facts: { scriptName },
    });
  }
  const lines = error.lines.map((line) => line.replace(/^service main: /, ""));
  const workflow = lines.map((line) => missingWorkflow(line, key)).find((one) => one !== null);
  if (workflow) {
    const { name, className } = workflow;
    return new Failure("workflow_class_not_exported", {
      message: `the Worker "${scriptName}" does not export the class "${className}", which runs the Workflow "${name}"`,
      facts: { class: className, workflow: name },
    });
  }
  const exception = await mapped(lines.join("\n") || error.message, readSourceMap);
  const at = /^ +at (?:.*\()?([^()\n]+):(\d+):(\d+)\)?$/m.exec(exception);
  return new Failure("worker_start_failed", {
    message: `the Worker "${scriptName}" does not start: ${exception}`,
    facts: {
      scriptName,
      exception,
      ...(at !== null && { file: at[1], line: Number(at[2]), column: Number(at[3]) }),
    },
  });
}

/** Replaces each `module:line:column` of a stack by the place in the source it was made from. */
export async function mapped(stack: string, readSourceMap: ReadSourceMap): Promise<string> {
  const maps = new Map<string, SourceMap | null>();
  for (const [, name] of stack.matchAll(FRAME)) {
    if (!maps.has(name!)) maps.set(name!, parse(await readSourceMap(name!)));
  }
  return stack.replace(FRAME, (frame, name: string, line: string, column: string) => {
    const entry = maps.get(name)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (entry === undefined || !("originalSource" in entry)) return frame;
    const source = entry.originalSource.replace(/^(\.\.?\/)+/, "");
    return frame.replace(
      `${name}:${line}:${column}`,
      `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`,
    );
  });
}

const FRAME = /(?<=^ +at (?:.*\()?)([^\s()][^()\n]*):(\d+):(\d+)(?=\)?$)/gm;

/** A damaged source map is no reason to keep the exception from its author. */
function parse(text: string | null): SourceMap | null {
  if (text === null) return null;
  try {
    return new SourceMap(JSON.parse(text) as ConstructorParameters<typeof SourceMap>[0]);
  } catch {
    return null;
  }
}
