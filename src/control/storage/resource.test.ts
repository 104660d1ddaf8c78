import assert from "node:assert/strict";
import { test } from "node:test";
import type { StorageAnswer } from "../../contract/storage.ts";
import { BodyShares } from "../api/body-shares.ts";
import type { ControlContext } from "../api/context.ts";
import { asked, LARGEST_ANSWER } from "./resource.ts";

const MEBIBYTE = 1024 * 1024;
const request = { accountId: "a", kind: "d1", id: "1" } as const;

/** A storage whose answer has this many mebibytes. */
function answering(
  mebibytes: number,
  bodies: BodyShares = new BodyShares(),
): { context: Pick<ControlContext, "bodies" | "edge">; read: () => number } {
  let read = 0;
  const chunk = new Uint8Array(MEBIBYTE);
  const body = async function* (): AsyncGenerator<Uint8Array> {
    for (; read < mebibytes; read += 1) yield chunk;
  };
  const storage = async (): Promise<StorageAnswer> => ({
    status: 200,
    statusText: "OK",
    headers: new Headers(),
    body: body(),
  });
  const edge = { storage } as unknown as ControlContext["edge"];
  return { context: { bodies, edge }, read: () => read };
}

test("an answer of storage is read to 128 MiB, and no further", async () => {
  const most = LARGEST_ANSWER / MEBIBYTE;
  const { body } = await asked(answering(most).context, request);
  assert.equal(body.byteLength, LARGEST_ANSWER);
  const longer = answering(10 * most);
  await assert.rejects(asked(longer.context, request), { code: "storage_answer_too_large" });
  assert.equal(longer.read(), most);
});

test("an answer that is read counts for its account", async () => {
  const bodies = new BodyShares(4 * MEBIBYTE);
  const other = bodies.open("a");
  other.add(2 * MEBIBYTE);
  const longer = answering(10, bodies);
  await assert.rejects(asked(longer.context, request), { code: "api_bytes_exhausted" });
  assert.equal(longer.read(), 2);
  other[Symbol.dispose]();
  await asked(answering(4, bodies).context, request);
  await asked(answering(4, bodies).context, request);
});
