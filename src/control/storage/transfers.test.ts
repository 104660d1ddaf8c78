import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { BodyShares } from "../api/body-shares.ts";
import { Transfers, TRANSFERS } from "./transfers.ts";

const bytes = Buffer.from("select 1");
const log = pino({ level: "silent" });

test("an account that has its two files loses its own oldest one, and no other account's", () => {
  const transfers = new Transfers();
  const other = transfers.open("b", bytes);
  const [first, second, third] = [1, 2, 3].map(() => transfers.open("a", bytes));
  assert.throws(() => transfers.take(first!, "a"), { code: "transfer_gone" });
  for (const id of [second!, third!]) assert.deepEqual(transfers.take(id, "a"), bytes);
  assert.deepEqual(transfers.take(other, "b"), bytes);
  assert.throws(() => transfers.take(other, "b"), { code: "transfer_gone" });
});

test("accounts with two files do not push out another's only one", () => {
  const transfers = new Transfers();
  const victim = transfers.open("v", bytes);
  for (const account of ["a", "b", "a", "b", "c", "d", "c", "d"]) transfers.open(account, bytes);
  assert.deepEqual(transfers.take(victim, "v"), bytes);
});

test("where six accounts have a file each, another waits, and none of theirs is lost", () => {
  const transfers = new Transfers();
  const accounts = ["a", "b", "c", "d", "e", "f"];
  const ids = accounts.map((account) => transfers.open(account, bytes));
  assert.throws(() => transfers.open("g", bytes), { code: "api_bytes_exhausted" });
  for (const [index, account] of accounts.entries()) {
    assert.deepEqual(transfers.take(ids[index]!, account), bytes);
  }
  assert.ok(transfers.open("g", bytes));
});

test("a file is its account's alone, and for ten minutes", (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const transfers = new Transfers();
  const id = transfers.open("a", bytes);
  assert.throws(() => transfers.take(id, "b"), { code: "transfer_gone" });
  t.mock.timers.tick(600_001);
  assert.throws(() => transfers.take(id, "a"), { code: "transfer_gone" });
});

test("somebody who knows the URL can upload once, and nobody else can upload anything", async () => {
  const transfers = new Transfers();
  const app = transfers.app({ log, bodies: new BodyShares() });
  const id = transfers.open("a", null);
  assert.throws(() => transfers.take(id, "a"), { code: "transfer_gone" });
  const { status } = await app.request(at(id), { method: "PUT", body: bytes });
  assert.equal(status, 200);
  assert.equal(await (await app.request(at(id))).text(), "select 1");
  assert.equal((await app.request(at("guessed"), { method: "PUT", body: bytes })).status, 404);
  assert.deepEqual(Buffer.from(transfers.take(id, "a")), bytes);
});

test("what is uploaded to a URL counts for its account, and what does not fit is refused", async () => {
  const transfers = new Transfers();
  const bodies = new BodyShares(10);
  const app = transfers.app({ log, bodies });
  bodies.open("a").add(3);
  const put = async (account: string): Promise<Response> =>
    app.request(at(transfers.open(account, null)), { method: "PUT", body: bytes });
  assert.equal((await put("b")).status, 200);
  const refused = await put("a");
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"]);
});

function at(id: string): string {
  return `http://api/client/v4${TRANSFERS}/${id}`;
}
