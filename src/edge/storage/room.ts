import { statfs } from "node:fs/promises";
import type { StorageAnswer, StorageRequest } from "../../contract/storage.ts";
import { Failure } from "../../failures/failures.ts";

/**
 * workerd names no reason if it could not store something: is it that the disk has no room for it?
 * @param folder on the disk
 * @throws Failure `disk_full`
 */
export async function refuseWithoutRoom(
  folder: string,
  { kind, method, headers = {}, body = "" }: StorageRequest,
  answer?: StorageAnswer,
): Promise<void> {
  // D1 says it itself, and answers errors of the statement in the same way.
  if (kind === "d1" || method === undefined || method === "GET") return;
  if (answer !== undefined && answer.status < 500) return;
  const length = typeof body === "string" || body instanceof Uint8Array ? body.length : NaN;
  const wanted = Math.max(LEAST, length || Number(headers["content-length"] ?? 0));
  const disk = await statfs(folder).catch(() => null);
  if (disk === null || disk.bavail * disk.bsize > wanted) return;
  await answer?.body[Symbol.asyncIterator]().return?.();
  throw new Failure("disk_full", {
    message: `the disk has no room for what ${NAMES[kind]} was sent`,
  });
}

/** Bytes that SQLite takes at once, with its log. */
const LEAST = 65_536;

const NAMES: Readonly<Record<StorageRequest["kind"], string>> = {
  kv: "KV",
  d1: "D1",
  r2: "R2",
  queue: "the queue",
  "rate-limit": "the rate limit",
  analytics: "Analytics Engine",
};
