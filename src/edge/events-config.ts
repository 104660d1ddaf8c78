import type { CapnpValue } from "./capnp.ts";

/** The service of a Worker's process through which the platform calls it, and its socket. */
export const EVENTS = "events";

/**
 * The runtime hands such calls from one Worker to another of the same process alone. This one is
 * asked over HTTP, at a socket that only the platform reaches.
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

const MODULE = `export default {
  async fetch(request, env) {
    const { cron, scheduledTime } = await request.json();
    const { outcome } = await env.MAIN.scheduled({ cron, scheduledTime: new Date(scheduledTime) });
    return Response.json({ outcome });
  },
};`;
