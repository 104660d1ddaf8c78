import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { BodyShares, heldUntilSent } from "./body-shares.ts";

const exhausted = { code: "api_bytes_exhausted" };

test("an account's calls hold its share of bytes and no more; another account is not concerned", () => {
  const shares = new BodyShares(100);
  const first = shares.open("a");
  const second = shares.open("a");
  first.add(60);
  second.add(40);
  assert.throws(() => second.add(1), exhausted);
  shares.open("b").add(100);
  first[Symbol.dispose]();
  second.add(60);
  assert.throws(() => second.add(1), exhausted);
});

test("what was refused is not counted, and what was given back is given back once", () => {
  const shares = new BodyShares(100);
  const first = shares.open("a");
  assert.throws(() => first.add(101), exhausted);
  first.add(100);
  first[Symbol.dispose]();
  const second = shares.open("a");
  second.add(100);
  first[Symbol.dispose]();
  assert.throws(() => shares.open("a").add(1), exhausted);
});

test("an answer is counted until its connection is closed, and not at all where it is closed by then", async (t) => {
  const size = 100_000;
  const shares = new BodyShares(size);
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const arrived = async (): Promise<{ outgoing: ServerResponse; leave(): void }> => {
    const sent = request({ port, host: "127.0.0.1", agent: false }).on("error", () => {});
    sent.end();
    const [, outgoing] = (await once(server, "request")) as [unknown, ServerResponse];
    return { outgoing, leave: () => void sent.destroy() };
  };

  const stays = await arrived();
  heldUntilSent(shares.open("a"), size, stays.outgoing);
  assert.throws(() => shares.open("a").add(1), exhausted);
  const closed = once(stays.outgoing, "close");
  stays.leave();
  await closed;
  shares.open("a")[Symbol.dispose]();

  const left = await arrived();
  const gone = once(left.outgoing, "close");
  left.leave();
  await gone;
  heldUntilSent(shares.open("a"), size, left.outgoing);
  using later = shares.open("a");
  later.add(size);
});
