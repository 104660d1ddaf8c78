import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../failures/failures.ts";
import { mysql } from "./mysql.ts";
import { framed } from "./mysql-packets.ts";

const SHOWN = { details: "public", ray: "r" } as const;

test("an open session is told of its end between a server's packets, by the number that follows", () => {
  const failure = new Failure("database_gone");
  const row = framed(6, Buffer.from("row"));
  for (const [pieces, sequence] of [
    [[], 1],
    [[row], 7],
    [[row.subarray(0, 5), row.subarray(5)], 7],
    [[row.subarray(0, 2), row.subarray(2), framed(7, Buffer.alloc(0))], 8],
    [[row, row.subarray(0, 1)], null],
    [[row.subarray(0, 4)], null],
    [[Buffer.concat([row, row]).subarray(0, 12)], null],
  ] as const) {
    const follower = mysql.follow();
    for (const piece of pieces) follower.see(piece);
    assert.equal(follower.refusal(failure, SHOWN)?.[3] ?? null, sequence);
  }
});

test("a failure is a packet with MySQL's number, and no longer than drivers take", () => {
  for (const [facts, number] of [
    [{ sqlState: "53300" }, 1040],
    [{ sqlState: "28000" }, 1045],
    [{}, 1105],
  ] as const) {
    const failure = new Failure("database_gone", { message: "why", fix: "look", facts });
    const sent = mysql.refusal(failure, SHOWN);
    assert.equal(sent.readUInt16LE(5), number);
    assert.deepEqual([sent[3], sent[4], sent.readUIntLE(0, 3)], [0, 0xff, sent.length - 4]);
    const state = "sqlState" in facts ? facts.sqlState : "08001";
    assert.equal(
      sent.toString("utf8", 7),
      `#${state}database_gone: why. ${failure.entry.cause} look`,
    );
  }
  const long = new Failure("database_gone", { message: "x".repeat(3_000) });
  assert.equal(mysql.refusal(long, SHOWN).length, 7 + 2_000);
});
