import { randomBytes } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { Failure } from "../../../failures/failures.ts";
import { currentDeployment } from "../../../store/workers/deployments.ts";
import {
  countOtherSchedules,
  deleteSchedule,
  insertSchedule,
  schedulesOf,
} from "../../../store/workers/schedules.ts";
import type { ScheduleRow } from "../../../store/schema.ts";
import { applyChange } from "../../api/apply-change.ts";
import { actorOf } from "../../api/auth.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { existingScript, keyOf } from "../lookup.ts";
import { MINUTE, readCron } from "./expression.ts";

/** Schedules of one account, as on Cloudflare. */
const MOST = 250;

const sent = z.array(z.object({ cron: z.string().max(1000) })).max(10_000);
const wanted = z.object({ cron: z.string().max(1000).optional() }).default({});

/** `triggers.crons` of the Wrangler configuration, and a run on demand. */
export function scheduleEndpoints({ store, edge, clock }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}/schedules";
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "The cron triggers of a script",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const { id } = await existingScript(store.db, call);
        return { result: shown(await schedulesOf(store.db, id)) };
      },
    ),
    endpoint(
      {
        method: "put",
        path,
        summary: "Replace the cron triggers of a script",
        scope: "workers_scripts:write",
        body: sent,
      },
      async (call) => {
        const key = keyOf(call);
        const crons = new Set(call.body.map(({ cron }) => readCron(cron).text));
        const now = clock();
        const schedules = await applyChange({ store, edge }, async ({ db, changed }) => {
          const { id: scriptId, name } = await existingScript(db, call);
          const others = await countOtherSchedules(db, key.accountId, scriptId);
          if (crons.size + others > MOST) {
            throw new Failure("cron_too_many", {
              message: `the account would have ${crons.size + others} cron triggers, more than ${MOST}`,
              facts: { limit: MOST },
            });
          }
          const before = await schedulesOf(db, scriptId);
          for (const { id, cron } of before) if (!crons.has(cron)) await deleteSchedule(db, id);
          const known = new Set(before.map(({ cron }) => cron));
          for (const cron of crons) {
            if (!known.has(cron)) await insertSchedule(db, fresh(scriptId, cron, now));
          }
          if (await currentDeployment(db, scriptId)) await changed({ kind: "script", ...key });
          return {
            value: await schedulesOf(db, scriptId),
            audit: {
              by: actorOf(call.caller),
              action: "script.schedules",
              accountId: key.accountId,
              resource: { type: "script", id: scriptId, name },
              before: { crons: [...known] },
              after: { crons: [...crons] },
            },
          };
        });
        return { result: shown(schedules) };
      },
    ),
    endpoint(
      {
        method: "post",
        path: "/accounts/{account_id}/countersign/scripts/{script_name}/cron",
        summary: "Call a script's `scheduled()` handler now, as one of its cron triggers does",
        scope: "workers_scripts:write",
        body: wanted,
      },
      async (call) => {
        const { id, name } = await existingScript(store.db, call);
        const cron = chosen(await schedulesOf(store.db, id), name, call.body.cron);
        if (edge.scheduled === undefined) throw new Failure("event_not_delivered");
        const now = clock();
        const { outcome } = await edge.scheduled({
          ...keyOf(call),
          cron,
          scheduledTime: now.getTime(),
        });
        return { result: { cron, scheduled_time: now.toISOString(), outcome } };
      },
    ),
  ];
}

/** @throws Failure `cron_unknown` */
function chosen(all: readonly ScheduleRow[], script: string, named: string | undefined): string {
  const [only, ...more] = all;
  if (named === undefined && only !== undefined && more.length === 0) return only.cron;
  const found = all.find(({ cron }) => cron === named);
  if (found !== undefined) return found.cron;
  const has = all.length === 0 ? "none" : all.map(({ cron }) => `"${cron}"`).join(", ");
  const message =
    named === undefined && all.length > 1
      ? `the Worker "${script}" has ${all.length} cron triggers, and none was named: ${has}`
      : `the Worker "${script}" has no such cron trigger; it has ${has}`;
  throw new Failure("cron_unknown", { message });
}

/** A new schedule first runs in the next minute that it names. */
function fresh(scriptId: string, cron: string, now: Date): ScheduleRow {
  const minute = new Date(Math.floor(now.getTime() / MINUTE) * MINUTE).toISOString();
  const id = randomBytes(16).toString("hex");
  const on = now.toISOString();
  return { id, scriptId, cron, ranUpTo: minute, createdOn: on, modifiedOn: on };
}

function shown(rows: readonly ScheduleRow[]): object {
  const schedules = rows.map(({ cron, createdOn, modifiedOn }) => ({
    cron,
    created_on: createdOn,
    modified_on: modifiedOn,
  }));
  return { schedules };
}
