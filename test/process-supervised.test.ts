import assert from "node:assert/strict";
import { once, EventEmitter } from "node:events";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import type { ServedMethods } from "./helpers/served-process.ts";
import { until } from "./helpers/until.ts";
import { Failure } from "../src/failures/failures.ts";
import { question, STATE } from "../src/process/calls.ts";
import { Supervised, type SupervisedOptions } from "../src/process/supervised.ts";

type Line = { level: number; msg: string } & Record<string, unknown>;

async function supervise(
  t: TestContext,
  options: Partial<SupervisedOptions<ServedMethods>> = {},
): Promise<{ process: Supervised<ServedMethods>; lines: Line[]; events: EventEmitter }> {
  const lines: Line[] = [];
  const events = new EventEmitter();
  const supervised = await Supervised.start<ServedMethods>({
    name: "fixture",
    modulePath: join(import.meta.dirname, "./helpers/served-process.ts"),
    workingDirectory: "/",
    processes: null,
    log: pino({}, { write: (line: string) => lines.push(JSON.parse(line) as Line) }),
    onEvent: (event) => events.emit(String(event)),
    rules: {
      tell: STATE,
      told: STATE,
      end: question(20_000),
      block: question(20_000),
      never: question(200),
      cancelled: question(20_000),
      refuse: STATE,
      throwLater: question(20_000),
      log: STATE,
    },
    restore: (tell) => tell("tell", "restored"),
    ...options,
  });
  t.after(() => supervised.stop(0));
  return { process: supervised, lines, events };
}

function fails(code: Failure["code"], message: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

// Each test has its own process, and mostly waits.
describe("a process that is supervised", { concurrency: 4 }, () => {
  it("a question that ends the process is asked once, and the next process knows its state", async (t) => {
    const { process: one, lines } = await supervise(t);
    await assert.rejects(one.call("end", []), fails("edge_process_ended", /exited with status 3/));
    assert.deepEqual(await one.call("told", []), ["restored"]);
    assert.equal(one.status().restarts, 1);
    assert.deepEqual(
      lines.filter(({ level }) => level === 50).map(({ msg, reason }) => [msg, reason]),
      [["the fixture ended, it is started again", "exited with status 3"]],
    );
  });

  it("state that ends each process is set a bounded number of times", async (t) => {
    const { process: one } = await supervise(t, { rules: { ...rules(), end: STATE } });
    await assert.rejects(one.call("end", []), fails("edge_process_ended", /fixture ended/));
    await one.call("told", []);
    assert.equal(one.status().restarts, STATE.tries);
  });

  it("a process whose loop is blocked is replaced, and what asked it fails", async (t) => {
    const { process: one } = await supervise(t, { heartbeat: { every: 50, missed: 20 } });
    await assert.rejects(
      one.call("block", []),
      fails("edge_process_ended", /did not answer for 1 s/),
    );
    assert.deepEqual(await one.call("told", []), ["restored"]);
  });

  it("a process that is stopped is replaced", async (t) => {
    const { process: one } = await supervise(t, { heartbeat: { every: 50, missed: 20 } });
    const { pid } = one.status();
    process.kill(pid!, "SIGSTOP");
    assert.deepEqual(await one.call("told", []), ["restored"]);
    assert.notEqual(one.status().pid, pid);
    assert.match(one.status().lastExit!, /^killed by SIGKILL: it did not answer/);
  });

  it("a call that is not answered in time fails, and the process keeps running", async (t) => {
    const { process: one } = await supervise(t);
    await assert.rejects(one.call("never", []), fails("edge_process_timeout", /within 0.2 s/));
    assert.equal(one.status().restarts, 0);
  });

  it("a caller that hangs up ends its call, in the process too", async (t) => {
    const { process: one, events } = await supervise(t);
    const hangUp = new AbortController();
    const cancelled = once(events, "cancelled");
    const call = one.call("cancelled", [], hangUp.signal);
    setTimeout(() => hangUp.abort(new Error("gone")), 50);
    await assert.rejects(call, /gone/);
    await cancelled;
  });

  it("an exception that nothing catches fails what is in flight, is logged, and replaces the process", async (t) => {
    const { process: one, events, lines } = await supervise(t);
    const abandoned = once(events, "abandoned");
    await assert.rejects(
      one.call("throwLater", []),
      fails("edge_process_ended", /exited with status 1: nobody catches this/),
    );
    await abandoned;
    const line = lines.find(({ msg }) => msg === "an exception ends the fixture");
    assert.match(String(line?.["stack"]), /TypeError: nobody catches this\n +at /);
    assert.deepEqual(await one.call("told", []), ["restored"]);
  });

  it("a failure keeps its code and facts between processes, a log line its level", async (t) => {
    const { process: one, lines } = await supervise(t);
    await assert.rejects(one.call("refuse", []), (error) => {
      assert.ok(error instanceof Failure);
      assert.deepEqual(
        [error.code, error.message, error.facts],
        ["certificate_gone", "not here", { certificateId: "c" }],
      );
      return true;
    });
    await one.call("log", ["error", "something is wrong"]);
    await until(() => lines.length > 0);
    const [{ level, from, certificateId, msg }] = lines as [Line];
    assert.deepEqual([level, from, certificateId, msg], [50, "fixture", "c", "something is wrong"]);
  });

  it("a process that cannot be started is a failure with a code", async (t) => {
    await assert.rejects(
      supervise(t, { workingDirectory: "/there/is/no/such/folder" }),
      fails("process_not_started", /ENOENT/),
    );
  });

  it("a process that is not ready in time is ended, and the start fails", async (t) => {
    await assert.rejects(
      supervise(t, { startTimeout: 500, restore: async (tell) => tell("block") }),
      fails("edge_process_failed", /not ready after 0.5 s/),
    );
  });
});

function rules(): SupervisedOptions<ServedMethods>["rules"] {
  return {
    tell: STATE,
    told: STATE,
    end: STATE,
    block: STATE,
    never: STATE,
    cancelled: STATE,
    refuse: STATE,
    throwLater: STATE,
    log: STATE,
  };
}
