import type { GatewayEvent } from "../../contract/gateway-event.ts";
import type { LogEntry, WorkerEvent } from "../../contract/worker-log.ts";
import type { ScheduledRun } from "../../contract/events.ts";
import { failures, type Failure } from "../../failures/failures.ts";
import type { IngressEvent } from "../../ingress/observe.ts";
import { blankEntry } from "./worker-log.ts";

/** What the gateway could not do for a Worker. */
export function gatewayEntry(event: GatewayEvent & { readonly kind: "failure" }): WorkerEvent {
  const { accountId, scriptName, bindingName, origin, ray, code, message } = event;
  const eventTimestamp = Date.parse(event.at);
  const entry: LogEntry = {
    ...blankEntry({ scriptName, versionId: null, eventTimestamp }),
    kind: "failure",
    code,
    ray,
    binding: bindingName,
    origin,
    logs: [
      {
        level: "error",
        message: [`${bindingName}: ${message}. ${failures[code].fix} (${code})`],
        timestamp: eventTimestamp,
      },
    ],
  };
  return { accountId, scriptName, entry, isKept: true };
}

/** A call of the platform's own that did not take place. */
export function eventEntry(run: ScheduledRun, { code, message }: Failure): WorkerEvent {
  const { accountId, scriptName, cron, scheduledTime } = run;
  const eventTimestamp = Date.now();
  const said = `${message}. ${failures[code].fix} (${code}, ${failures[code].number})`;
  const entry: LogEntry = {
    ...blankEntry({ scriptName, versionId: null, eventTimestamp }),
    kind: "failure",
    code,
    event: { cron, scheduledTime },
    logs: [{ level: "error", message: [said], timestamp: eventTimestamp }],
  };
  return { accountId, scriptName, entry, isKept: true };
}

/** What the ingress knows of a request and its Worker does not. */
export function ingressEntry(
  event: Exclude<IngressEvent, { readonly kind: "timing" }>,
): WorkerEvent {
  const { accountId, scriptName, versionId } = event.script;
  const blank = (eventTimestamp: number): Omit<LogEntry, "kind"> => ({
    ...blankEntry({ scriptName, versionId, eventTimestamp }),
    ray: event.ray,
  });
  if (event.kind === "handed-on") {
    const now = Date.now();
    const message = `what its client got is the failure of ray ${event.as}`;
    const entry: LogEntry = {
      ...blank(now),
      kind: "console",
      gatewayRay: event.as,
      logs: [{ level: "info", message: [message], timestamp: now }],
    };
    return { accountId, scriptName, entry, isKept: true };
  }
  const { at, method, url, ray, code, ms } = event;
  const { number, title, fix, status } = failures[code];
  const entry: LogEntry = {
    ...blank(at),
    kind: "failure",
    code,
    event: { request: { method, url, headers: { "cf-ray": ray } }, response: { status } },
    wallTime: Math.round(ms),
    logs: [{ level: "error", message: [`${title}. ${fix} (${code}, ${number})`], timestamp: at }],
  };
  return { accountId, scriptName, entry, isKept: true };
}
