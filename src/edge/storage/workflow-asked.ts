import { z } from "zod";
import { Failure } from "../../failures/failures.ts";
import { ask } from "./ask.ts";
import { CALLS } from "./workflow-door.ts";

const answer = z.union([
  z.object({ value: z.unknown() }).strict(),
  z.object({ error: z.object({ message: z.string().max(1000) }) }).strict(),
]);

/**
 * Calls the engine in a Worker's process.
 * @param folder of the process
 * @param name of the Workflow
 * @throws Failure with the engine's reason, or the socket's
 */
export async function askedOf(folder: string, name: string, call: object): Promise<unknown> {
  const { status, body } = await ask({
    folder,
    socket: CALLS,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, ...call }),
    timeout: LONGEST_CALL,
  });
  if (status !== 200) throw new Error(`its process answered ${status}`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    // A hostile program may run in workerd's place.
    if (length > LONGEST_ANSWER) throw new Error("its process answered at length");
    chunks.push(Buffer.from(chunk));
  }
  const told = answer.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  if ("error" in told) throw refused(told.error.message);
  return told.value;
}

/** A failure with the engine's own words. */
function refused(message: string): Failure {
  const code = Object.entries(REFUSALS).find(([said]) => message.includes(said))?.[1];
  const said = message.replace(/^\(instance\.\w+\) /, "");
  if (code !== undefined)
    return new Failure(code, code === "workflow_instance_unknown" ? {} : { message: said });
  // So workerd says that it could not read or write, or that its own code failed.
  const isOurs = said.startsWith("internal error");
  return new Failure(isOurs ? "storage_unavailable" : "workflow_refused", {
    message: `the Workflow's engine answered: ${said}`,
  });
}

const REFUSALS = {
  "instance.not_found": "workflow_instance_unknown",
  "instance.already_exists": "workflow_instance_exists",
  "instance.invalid_id": "workflow_instance_invalid",
  "has invalid id": "workflow_instance_invalid",
  "instance.cannot_": "workflow_instance_state",
} as const;

/** Bytes. */
const LONGEST_ANSWER = 8 * 1024 * 1024;
/** ms */
const LONGEST_CALL = 60_000;
