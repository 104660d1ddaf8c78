import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pino } from "pino";
import type { ScheduledRun } from "../src/contract/events.ts";
import { CronTriggers } from "../src/control/workers/cron/triggers.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { scriptForm } from "./helpers/script-form.ts";

const CODE = `export default { scheduled() {}, fetch: () => new Response("ok") };`;

describe("the clock of cron triggers", () => {
  let control: TestControl;
  let now = new Date("2026-11-25T11:58:30Z");
  const ran: string[] = [];
  const clock = (): Date => now;
  /** Triggers of a platform that was just started. */
  const triggers = (): CronTriggers =>
    new CronTriggers({
      store: control.store,
      edge: {
        scheduled: ({ scriptName, cron, scheduledTime }: ScheduledRun) => {
          const time = new Date(scheduledTime).toISOString().slice(11, 19);
          ran.push(`${scriptName} ${cron} ${time}`);
          return Promise.resolve({ outcome: "ok" });
        },
      },
      clock,
      log: pino({ level: "silent" }),
    });
  const at = async (time: string, one: CronTriggers): Promise<readonly string[]> => {
    now = new Date(`2026-11-25T${time}Z`);
    await one.look();
    return ran.splice(0).toSorted();
  };
  before(async () => {
    control = await startControl({ clock });
    const form = scriptForm(
      { compatibility_date: "2026-11-01" },
      { "index.js": ["application/javascript+module", CODE] },
    );
    const path = "/accounts/{account}/workers/scripts/jobs";
    assert.ok((await control.call("PUT", path, form)).success);
    const crons = [{ cron: "0 12 * * *" }, { cron: "*/2 * * * *" }];
    assert.ok((await control.call("PUT", `${path}/schedules`, crons)).success);
  });
  after(() => control[Symbol.asyncDispose]());

  it("each runs once in its minute, however often it is looked at and by however many", async () => {
    const one = triggers();
    const other = triggers();
    // The trigger was made in this minute, so its first run is in a later minute.
    assert.deepEqual(await at("11:58:59", one), []);
    assert.deepEqual(await at("11:59:30", one), []);
    assert.deepEqual(await at("12:00:00", one), [
      "jobs */2 * * * * 12:00:00",
      "jobs 0 12 * * * 12:00:00",
    ]);
    assert.deepEqual(await at("12:00:59", one), []);
    assert.deepEqual(await at("12:00:59", other), []);
    assert.deepEqual(await at("12:02:00", other), ["jobs */2 * * * * 12:02:00"]);
    assert.deepEqual(await at("12:02:01", one), []);
  });

  it("what a restart has missed is made up for once, and what is older than 15 minutes is not", async () => {
    assert.deepEqual(await at("12:09:10", triggers()), ["jobs */2 * * * * 12:08:00"]);
    now = new Date("2026-11-26T12:14:00Z");
    await triggers().look();
    assert.deepEqual(ran.splice(0).toSorted(), [
      "jobs */2 * * * * 12:14:00",
      "jobs 0 12 * * * 12:00:00",
    ]);
    now = new Date("2026-11-27T12:16:00Z");
    await triggers().look();
    assert.deepEqual(ran.splice(0), ["jobs */2 * * * * 12:16:00"]);
  });

  it("a clock that is set back runs nothing twice, and one that was far ahead holds nothing up", async () => {
    const one = triggers();
    const on = async (time: string): Promise<readonly string[]> => {
      now = new Date(time);
      await one.look();
      return ran.splice(0);
    };
    assert.deepEqual(await on("2026-11-28T10:00:00Z"), ["jobs */2 * * * * 10:00:00"]);
    assert.deepEqual(await on("2026-11-28T09:58:59Z"), []);
    assert.deepEqual(await on("2026-11-28T10:00:30Z"), []);
    assert.deepEqual(await on("2029-01-01T10:00:00Z"), ["jobs */2 * * * * 10:00:00"]);
    assert.deepEqual(await on("2026-11-28T10:04:00Z"), ["jobs */2 * * * * 10:04:00"]);
    assert.deepEqual(await on("2026-11-28T10:04:30Z"), []);
  });
});
