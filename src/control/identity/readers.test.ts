import assert from "node:assert/strict";
import { test } from "node:test";
import { Readers } from "./readers.ts";
import { SignedAnswers } from "./signed-answers.ts";

const tooOften = { code: "published_too_often" };

test("an address reads 600 times, and then ten times a second; another is not concerned", () => {
  const readers = new Readers();
  for (let i = 0; i < 600; i += 1) readers.count("192.0.2.1");
  assert.throws(() => readers.count("192.0.2.1"), tooOften);
  readers.count("192.0.2.2");
  readers.count("2001:db8::1");
  for (let i = 0; i < 599; i += 1) readers.count(`2001:db8::${i.toString(16)}`);
  assert.throws(() => readers.count("2001:db8::ffff"), tooOften, "a /64 is one reader");
});

test("an address has 100 questions waiting, an account 1,000; what is more is answered at once", () => {
  const readers = new Readers();
  const ends: (() => void)[] = [];
  for (let i = 0; i < 100; i += 1) ends.push(readers.wait("a", "192.0.2.1")!);
  assert.equal(readers.wait("a", "192.0.2.1"), null);
  assert.equal(readers.wait("b", "192.0.2.1"), null, "its share is for all accounts together");
  for (let host = 2; host <= 10; host += 1) {
    for (let i = 0; i < 100; i += 1) ends.push(readers.wait("a", `192.0.2.${host}`)!);
  }
  assert.equal(readers.wait("a", "192.0.2.99"), null, "the account's share");
  assert.notEqual(readers.wait("b", "192.0.2.99"), null);
  ends[0]!();
  assert.notEqual(readers.wait("a", "192.0.2.1"), null);
});

test("an account has 500 answers of OCSP signed, and then 500 a second; another is not concerned", () => {
  const readers = new Readers();
  let signed = 0;
  while (readers.maySign("a")) signed += 1;
  assert.ok(signed >= 500 && signed < 600, `${signed}`);
  assert.equal(readers.maySign("b"), true);
});

test("what was signed is handed out until something changes, or 30 s", async () => {
  const answers = new SignedAnswers();
  let signed = 0;
  const ask = (key: string, cursor: number, now: number): Promise<string> =>
    answers.of(key, cursor, now, async () => `${key} ${cursor} ${(signed += 1)}`);
  assert.equal(await ask("a", 1, 0), "a 1 1");
  assert.equal(await ask("a", 1, 29_000), "a 1 1");
  assert.equal(await ask("b", 1, 29_000), "b 1 2");
  assert.equal(await ask("a", 2, 29_000), "a 2 3");
  assert.equal(await ask("a", 2, 60_000), "a 2 4");
  assert.equal(await ask("a", 2, 0), "a 2 5", "the clock was set back");
});

test("what could not be signed is tried again, and only 1,000 answers are kept", async () => {
  const answers = new SignedAnswers();
  await assert.rejects(
    answers.of("a", 1, 0, () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await answers.of("a", 1, 0, async () => "signed"), "signed");
  for (let i = 0; i < 1_000; i += 1) await answers.of(`other ${i}`, 1, 0, async () => "");
  assert.equal(await answers.of("a", 1, 0, async () => "again"), "again");
});
