import { Failure } from "../../failures/failures.ts";
import type { ScriptKey, WorkerVersion } from "../../contract/change-feed.ts";
import { missingWorkflow } from "../storage/workflows.ts";
import { mapped, type ReadSourceMap } from "./mapped-stack.ts";
import { WorkerdStartError } from "./workerd.ts";

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
