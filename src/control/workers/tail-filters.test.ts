import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../contract/worker-log.ts";
import type { TailFilter } from "../../contract/journal.ts";
import { passes, tailFilters } from "./tail-filters.ts";

const headers = { "cf-connecting-ip": "192.0.2.1", "x-kind": "big blue" };
const entry = {
  outcome: "exception",
  scriptVersion: { id: "v1" },
  event: { request: { method: "POST", headers } },
  logs: [{ level: "log", message: ["order", { id: 5 }], timestamp: 0 }],
  exceptions: [{ name: "TypeError", message: "no", timestamp: 0 }],
} as unknown as LogEntry;

test("an entry passes what fits it, and nothing else", () => {
  const cases: readonly [TailFilter, boolean][] = [
    [{ outcome: ["exception", "unknown"] }, true],
    [{ outcome: ["ok"] }, false],
    [{ method: ["get", "post"] }, true],
    [{ method: "GET" }, false],
    [{ header: { key: "X-Kind" } }, true],
    [{ header: { key: "X-Kind", query: "blue" } }, true],
    [{ header: { key: "X-Kind", query: "red" } }, false],
    [{ header: { key: "x-other" } }, false],
    [{ client_ip: ["self"] }, true],
    [{ client_ip: ["192.0.2.2"] }, false],
    [{ query: "ORDER" }, true],
    [{ query: "typeerror" }, true],
    [{ query: "absent" }, false],
    [{ scriptVersion: "v1" }, true],
    [{ scriptVersion: "v2" }, false],
    [{ sampling_rate: 1 }, true],
    [{ sampling_rate: 0 }, false],
  ];
  for (const [filter, expected] of cases) {
    assert.equal(passes(entry, [filter], "192.0.2.1"), expected, JSON.stringify(filter));
  }
  assert.equal(passes(entry, [{ outcome: "exception" }, { method: "GET" }], null), false);
  assert.equal(passes({ ...entry, event: null }, [{ method: "POST" }], null), false);
});

test("a filter that is not known is refused, not passed over", () => {
  assert.equal(tailFilters.safeParse([{ colour: "red" }]).success, false);
  assert.equal(tailFilters.safeParse([{ sampling_rate: 0.5 }, { method: ["GET"] }]).success, true);
});
