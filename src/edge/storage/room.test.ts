import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import type { StorageRequest } from "../../contract/storage.ts";
import { refuseWithoutRoom } from "./room.ts";

const folder = tmpdir();
/** More than any disk has. */
const headers = { "content-length": String(2 ** 60) };
const put = { accountId: "a", kind: "r2", id: "b", method: "PUT", headers } as const;

function answering(status: number): Parameters<typeof refuseWithoutRoom>[2] {
  const body = (async function* (): AsyncGenerator<Uint8Array> {})();
  return { status, statusText: "", headers: new Headers(), body };
}

test("what the disk has no room for is told as that, whether storage answered or not", async () => {
  const isFull = { code: "disk_full" };
  await assert.rejects(refuseWithoutRoom(folder, put, answering(500)), isFull);
  await assert.rejects(refuseWithoutRoom(folder, put), isFull);
});

for (const [what, request, status] of [
  ["what storage took", put, 200],
  ["what it refused for another reason", put, 400],
  ["a failure to read", { ...put, method: "GET" }, 500],
  ["a failure to keep what there is room for", { ...put, headers: {} }, 500],
  ["a statement's own fault", { ...put, kind: "d1" }, 500],
] as const satisfies readonly (readonly [string, StorageRequest, number])[]) {
  test(`the disk is not blamed for ${what}`, async () => {
    await refuseWithoutRoom(folder, request, answering(status));
  });
}
