import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import Cloudflare from "cloudflare";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

/** Stores each message in KV, with its type, as JSON. */
const CONSUMER = `export default {
  async fetch(request, env) {
    const { keys } = await env.KV.list();
    return Response.json(await Promise.all(keys.map(({ name }) => env.KV.get(name, "json"))));
  },
  async queue(batch, env) {
    for (const { id, body, timestamp } of batch.messages) {
      const came = { type: typeof body, body, waited: Date.now() - timestamp.getTime() };
      await env.KV.put(id, JSON.stringify(came));
    }
  },
};`;

interface Came {
  readonly type: string;
  readonly body: unknown;
  /** ms */
  readonly waited: number;
}

describe("messages that a program outside of Workers sends", () => {
  let platform: TestPlatform;
  let client: Cloudflare;
  let account: { account_id: string };
  let queue: string;
  before(async () => {
    platform = await startPlatform();
    const { api, token, accountId } = platform.ready;
    client = new Cloudflare({ apiToken: token, baseURL: api, maxRetries: 0 });
    account = { account_id: accountId };
    const kv = await client.kv.namespaces.create({ ...account, title: "came" });
    const made = await client.queues.create({ ...account, queue_name: "jobs" });
    queue = made.queue_id!;
    const bindings = [{ type: "kv_namespace", name: "KV", namespace_id: kv.id }];
    const modules = { "index.js": ["application/javascript+module", CONSUMER] } as const;
    const form = scriptForm({ bindings, compatibility_date: "2026-11-01" }, modules);
    const scripts = "/accounts/{account}/workers/scripts/consumer";
    const { status, json } = await platform.api("PUT", scripts, form);
    assert.equal(status, 200, JSON.stringify(json.errors));
    await platform.api("POST", `${scripts}/subdomain`, { enabled: true });
    await client.queues.consumers.create(queue, {
      ...account,
      type: "worker",
      script_name: "consumer",
      settings: { max_wait_time_ms: 0 },
    });
  });
  after(() => platform?.[Symbol.asyncDispose]());

  it("queues that are made at once are all made, while their process starts again for each", async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        client.queues.create({ ...account, queue_name: `at-once-${i}` }),
      ),
    );
    const why = made.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    assert.deepEqual(why, []);
  });

  const came = async (): Promise<Came[]> => {
    const answer = await platform.worker("consumer");
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body) as Came[];
  };
  const find = async (isIt: (one: Came) => boolean): Promise<Came> => {
    await until(async () => (await came()).some(isIt));
    return (await came()).find(isIt)!;
  };
  /** The code and message of the refusal. */
  const refusal = async (body: object, path = "messages", id = queue): Promise<string> => {
    const at = `/accounts/{account}/queues/${id}/${path}`;
    const { status, json } = await platform.api("POST", at, body);
    return `${status} ${json.errors[0]?.code} ${json.errors[0]?.message}`;
  };

  it("the SDK sends one as text, as JSON, and as JSON where no type is named, and the Worker gets them so", async () => {
    const { messages } = client.queues;
    const pushed = await messages.push(queue, { ...account, body: "hä?", content_type: "text" });
    assert.equal(typeof pushed.metadata?.metrics?.backlog_count, "number");
    assert.equal((await find(({ body }) => body === "hä?")).type, "string");
    const typed = { typed: [1, null, { "": "ü" }] };
    await messages.push(queue, { ...account, body: typed, content_type: "json" });
    const found = await find(({ body }) => JSON.stringify(body) === JSON.stringify(typed));
    assert.equal(found.type, "object");
    // The form of `curl --data '{"body": ...}'` in Cloudflare's examples.
    assert.match(await refusal({ body: { greeting: "hello" } }), /^200 undefined/);
    await find(({ body }) => JSON.stringify(body) === '{"greeting":"hello"}');
    assert.match(await refusal({ body: null }), /^200 undefined/);
    await find(({ body }) => body === null);
  });

  it("a batch comes whole, each message with its own delay or the batch's", async () => {
    await client.queues.messages.bulkPush(queue, {
      ...account,
      delay_seconds: 2,
      messages: [
        { body: "at once", content_type: "text", delay_seconds: 0 },
        { body: { of: "the batch" }, content_type: "json" },
      ],
    });
    await find(({ body }) => body === "at once");
    const later = await find(({ body }) => JSON.stringify(body) === '{"of":"the batch"}');
    assert.ok(later.waited >= 2_000, String(later.waited));
    const pushed = await client.queues.messages.push(queue, {
      ...account,
      body: "tomorrow",
      content_type: "text",
      delay_seconds: 86_400,
    });
    assert.equal(pushed.metadata?.metrics?.backlog_count, 1);
    assert.equal(pushed.metadata.metrics.backlog_bytes, 8);
  });

  it("a queue's own delay counts where a message has none", async () => {
    await client.queues.edit(queue, { ...account, settings: { delivery_delay: 2 } });
    await client.queues.messages.push(queue, { ...account, body: "q", content_type: "text" });
    const { waited } = await find(({ body }) => body === "q");
    assert.ok(waited >= 2_000, String(waited));
    await client.queues.edit(queue, { ...account, settings: { delivery_delay: 0 } });
  });

  it("the largest message and batch are taken, and one byte or message more is refused with why", async () => {
    const later = { delay_seconds: 86_400 };
    assert.match(await refusal({ ...text(128_000), ...later }), /^200/);
    assert.match(
      await refusal({ ...text(128_001), ...later }),
      /^413 7000806 the queue "jobs" refused: message length of 128001 bytes exceeds limit/,
    );
    const batch = (messages: readonly object[]): Promise<string> =>
      refusal({ messages, ...later }, "messages/batch");
    assert.match(await batch([text(128_000), text(128_000)]), /^200/);
    assert.match(
      await batch([text(128_000), text(128_000), text(1)]),
      /^413 7000806 .*batch size of 256001 bytes/,
    );
    assert.match(await batch(Array<object>(101).fill(text(1))), /^413 7000806 .*count of 101/);
    // Each of its characters takes six bytes in JSON.
    const escaped = { body: "\u0001".repeat(128_000), content_type: "text" };
    assert.match(await batch([escaped, escaped]), /^200/);
    assert.match(await batch([]), /^400/);
  });

  it("what is no message is refused by name, and nothing of its batch comes", async () => {
    for (const [sent, why] of [
      [{ body: { a: 1 }, content_type: "text" }, /body" is not a string/],
      [{ body: "AQID", content_type: "bytes" }, /content_type" is not text or json/],
      [{ body: "x", content_type: "v8" }, /content_type" is not text or json/],
      [{ content_type: "json" }, /body" is missing/],
      [{ body: 1, delay_seconds: 86_401 }, /delay_seconds/],
      [{ body: 1, delay_seconds: -1 }, /delay_seconds/],
    ] as const) {
      assert.match(await refusal(sent), why);
      const batch = { messages: [{ body: "its neighbour" }, sent] };
      assert.match(await refusal(batch, "messages/batch"), why);
    }
    const { api, token, accountId } = platform.ready;
    const deep = await fetch(`${api}/accounts/${accountId}/queues/${queue}/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: `{"body":${'{"toJSON":1,"a":'.repeat(30_000)}1${"}".repeat(30_000)}}`,
    });
    assert.equal(deep.status, 400);
    assert.match(await deep.text(), /nested too deeply/);
    assert.match(await refusal({ body: 1 }, "messages", "none"), /^404 11000/);
    assert.ok(!(await came()).some(({ body }) => body === "its neighbour"));
  });

  it("a token that may only read sends nothing", async () => {
    const { permissionGroups } = client.user.tokens;
    const [group] = (await permissionGroups.list({ name: "Workers Scripts Read" })).result;
    const { accountId, api: baseURL } = platform.ready;
    const resources = { [`com.cloudflare.api.account.${accountId}`]: "*" };
    const policies = [{ effect: "allow", permission_groups: [{ id: group!.id }], resources }];
    const { json } = await platform.api("POST", "/user/tokens", { name: "reads", policies });
    const reads = new Cloudflare({ apiToken: json.result.value, baseURL, maxRetries: 0 });
    assert.equal((await reads.queues.get(queue, account)).queue_name, "jobs");
    await assert.rejects(
      reads.queues.messages.push(queue, { ...account, body: "no", content_type: "text" }),
      { status: 403 },
    );
  });

  it("messages are not read over HTTP: pulled, settled, looked at or deleted one by one", async () => {
    for (const what of ["pull", "ack", "peek", "purge"]) {
      assert.match(await refusal({ batch_size: 1 }, `messages/${what}`), /^400 7000805/);
      assert.match(await refusal({}, `messages/${what}`, "none"), /^404 11000/);
    }
  });
});

function text(bytes: number): object {
  return { body: "x".repeat(bytes), content_type: "text" };
}
