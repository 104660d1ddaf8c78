import type { CapnpValue } from "./capnp.ts";

/** The service of a Worker's process through which the platform calls it, and its socket. */
export const EVENTS = "events";

/**
 * The runtime hands such calls from one Worker to another of the same process alone. This one is
 * reached over HTTP, and by RPC for queues, at a socket that only the platform has.
 */
export function eventsWorker(main: string): CapnpValue {
  return {
    name: EVENTS,
    worker: {
      modules: [{ name: EVENTS, esModule: MODULE }],
      compatibilityDate: "2026-11-01",
      compatibilityFlags: ["service_binding_extra_handlers"],
      bindings: [{ name: "MAIN", service: main }],
      globalOutbound: "probe",
    },
  };
}

const MODULE = `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  async fetch(request) {
    const { cron, scheduledTime } = await request.json();
    const { outcome } = await this.env.MAIN.scheduled({ cron, scheduledTime: new Date(scheduledTime) });
    return Response.json({ outcome });
  }
  ping() {
    return "pong";
  }
  async deliver(queue, messages) {
    const { outcome, ackAll, retryBatch, explicitAcks, retryMessages } = await this.env.MAIN.queue(queue, messages);
    return { outcome, ackAll, retryBatch, explicitAcks, retryMessages: retryMessages ?? [] };
  }
}`;
