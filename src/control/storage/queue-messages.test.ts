import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyShares } from "../api/body-shares.ts";
import type { ControlContext } from "../api/context.ts";
import { sent } from "./queue-messages.ts";

const queue = { accountId: "a", name: "jobs" };

/** A queue process that gives this answer. The bodies are those of workerd's own module. */
function answering(status: number, said: unknown): Pick<ControlContext, "bodies" | "edge"> {
  const storage = async (): Promise<object> => ({
    status,
    statusText: "",
    headers: new Headers(),
    body: (async function* () {
      yield Buffer.from(JSON.stringify(said));
    })(),
  });
  return { bodies: new BodyShares(), edge: { storage } as unknown as ControlContext["edge"] };
}

test("a full queue, a message that is too large and a process that fails have codes of their own", async () => {
  await assert.rejects(sent(answering(429, "Queue is overloaded."), queue, {}), {
    code: "queue_full",
  });
  await assert.rejects(
    sent(answering(413, "message length of 128001 bytes exceeds limit"), queue, {}),
    { code: "queue_message_too_large", message: /"jobs" refused: message length of 128001 bytes/ },
  );
  await assert.rejects(sent(answering(500, null), queue, {}), { code: "storage_unavailable" });
});

test("what is taken is answered with how much waits", async () => {
  const metrics = { backlogCount: 3, backlogBytes: 12, oldestMessageTimestamp: 5 };
  const { result } = await sent(answering(200, { metadata: { metrics } }), queue, {});
  assert.deepEqual(result, {
    metadata: {
      metrics: { backlog_count: 3, backlog_bytes: 12, oldest_message_timestamp_ms: 5 },
    },
  });
});
