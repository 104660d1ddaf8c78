import type { WorkerVersion } from "../../contract/change-feed.ts";
import type { CapnpValue } from "../config/capnp.ts";
import { PATIENT } from "./workflow-engine.ts";
import { workflowDoors } from "./workflows.ts";

/**
 * The service in a Worker's process through which the platform reaches the Worker's Workflows; also the name of its
 * socket.
 */
export const CALLS = "workflow-calls";

/** In the order in which the engine numbers them. */
export const STATUSES = [
  "queued",
  "running",
  "paused",
  "errored",
  "terminated",
  "complete",
  "waitingForPause",
  "waiting",
] as const;

/** A Worker that takes `call` and answers with `{ value }` or `{ error: { message } }`. */
export function callsWorker(version: Pick<WorkerVersion, "workflows">): CapnpValue {
  return {
    name: CALLS,
    worker: {
      modules: [{ name: CALLS, esModule: MODULE }],
      compatibilityDate: "2026-11-01",
      bindings: workflowDoors(version),
      globalOutbound: "probe",
    },
  };
}

/** Characters: of what one step has returned, and of everything about an instance. */
const MOST_OF_ONE = 32_768;
const MOST_OF_ALL = 2_097_152;
/** Events of an instance's history. */
const MOST_EVENTS = 5_000;

const MODULE = `${PATIENT}
const calls = {
  create: ({ workflow }, { options }) => workflow.create(options),
  change: async ({ workflow }, { id, action, options }) => {
    await workflow[action](id, options);
    return workflow.status(id);
  },
  event: async ({ workflow }, { id, type, payload }) => {
    await workflow.sendEvent(id, { type, payload });
  },
  remove: ({ workflow }, { ids }) => workflow.deleteBatch({ instances: ids }),
  instance: async ({ workflow, instances }, { id }) => {
    const { status, output, error } = await workflow.status(id);
    const instance = instances.getByName(id);
    const { createdOn } = await instance.getInstanceMetadata();
    const events = await history(instance);
    return { status, output: shown(output, ${MOST_OF_ALL / 2}), error, createdOn, events };
  },
  // An id that was never created is an empty instance for the engine.
  list: ({ instances }, { keys }) =>
    Promise.all(
      keys.map((key) =>
        instances.get(instances.idFromString(key)).getInstanceMetadata().catch(() => null),
      ),
    ),
  // Any call makes the engine retry a step that was interrupted by the end of the process.
  wake: async ({ instances }, { keys }) => {
    await Promise.all(
      keys.map((key) => instances.get(instances.idFromString(key)).exists().catch(() => false)),
    );
  },
};

async function history(instance) {
  using subscription = await instance.subscribe({ cursor: 0 });
  const events = [];
  let left = ${MOST_OF_ALL / 2};
  while (events.length < ${MOST_EVENTS}) {
    const next = subscription.next();
    // subscribe() waits for an event that has not happened yet, so an ended instance never answers.
    const none = instance.exists().then(() => scheduler.wait(25));
    const found = await Promise.race([next, none]);
    if (found === undefined) next.catch(() => {});
    if (found === undefined || found.done) break;
    const { output, params, ...event } = found.value;
    for (const [name, value] of Object.entries({ output, params })) {
      if (value === undefined) continue;
      event[name] = shown(value, Math.min(left, ${MOST_OF_ONE}));
      left = Math.max(0, left - JSON.stringify(event[name]).length);
    }
    events.push(event);
  }
  return events;
}

function shown(value, most) {
  if (value === undefined || value === null) return null;
  if (value instanceof ReadableStream) {
    value.cancel().catch(() => {});
    return "[ReadableStream]";
  }
  let text;
  try {
    text = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? String(one) : one));
  } catch {}
  if (text === undefined) return null;
  return text.length > most ? text.slice(0, most) + "[truncated output]" : JSON.parse(text);
}

export default {
  async fetch(request, env) {
    try {
      const { name, call, ...asked } = await request.json();
      const doors = { workflow: env["workflow:" + name], instances: patient(env["instances:" + name]) };
      return Response.json({ value: (await calls[call](doors, asked)) ?? null });
    } catch (error) {
      return Response.json({ error: { message: String(error?.message ?? error).slice(0, 1000) } });
    }
  },
};`;
