import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { after, before, describe, it } from "node:test";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

const MEBIBYTE = 1024 * 1024;

describe("bytes that the API holds", () => {
  let platform: TestPlatform;
  let bulk: string;
  const bucket = "/r2/buckets/large";
  before(async () => {
    platform = await startPlatform();
    const made = await platform.api("POST", "/accounts/{account}/storage/kv/namespaces", {
      title: "large",
    });
    bulk = `/storage/kv/namespaces/${made.json.result.id}/bulk`;
    await platform.api("POST", "/accounts/{account}/r2/buckets", { name: "large" });
  });
  after(() => platform?.[Symbol.asyncDispose]());

  /** An upload that has begun: its head was sent, and its body can be written. */
  const begin = (path: string, headers: Readonly<Record<string, string>> = {}): ClientRequest => {
    const { api, accountId, token } = platform.ready;
    const sent = request(`${api}/accounts/${accountId}${path}`, {
      method: "PUT",
      agent: false,
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
    sent.on("error", () => {});
    sent.flushHeaders();
    return sent;
  };
  const write = async (key: string): Promise<number | undefined> => {
    const sent = begin(bulk).end(JSON.stringify([{ key, value: "1" }]));
    return (await answered(sent)).statusCode;
  };

  it("an account's uploads hold 384 MiB at once; a further upload is told when to come again", async () => {
    const length = { "content-length": `${100 * MEBIBYTE}` };
    const slow = [1, 2, 3].map(() => begin(bulk, length));
    for (const sent of slow) sent.write("[");
    await until(async () => {
      const more = begin(bulk, length);
      const late = new Promise<null>((resolve) => setTimeout(resolve, 300, null));
      const response = await Promise.race([answered(more), late]);
      more.destroy();
      return response?.statusCode === 429 && response.headers["retry-after"] === "1";
    });
    assert.equal(await write("small"), 200, "what fits in is taken");
    for (const sent of slow) sent.destroy();
    await until(async () => {
      const one = begin(bulk, length);
      const late = new Promise<null>((resolve) => setTimeout(resolve, 300, null));
      const response = await Promise.race([answered(one), late]);
      one.destroy();
      return response === null;
    });
  });

  it("objects of R2 pass through: uploads that are longer than the share wait for their bytes", async () => {
    const length = { "content-length": `${300 * MEBIBYTE}` };
    const slow = [1, 2, 3].map((n) => begin(`${bucket}/objects/slow-${n}`, length));
    for (const sent of slow) sent.write("x");
    const body = Buffer.alloc(20 * MEBIBYTE, "abcdefg");
    const put = begin(`${bucket}/objects/whole`, { "content-length": `${body.length}` });
    assert.equal((await answered(put.end(body))).statusCode, 200);
    const chunked = begin(`${bucket}/objects/chunked`);
    assert.equal((await answered(chunked.end(body))).statusCode, 200);
    for (const sent of slow) sent.destroy();
    const { api, accountId, token } = platform.ready;
    const headers = { authorization: `Bearer ${token}` };
    for (const name of ["whole", "chunked"]) {
      const got = await fetch(`${api}/accounts/${accountId}${bucket}/objects/${name}`, { headers });
      assert.equal(Buffer.compare(Buffer.from(await got.arrayBuffer()), body), 0, name);
    }
    const missing = await platform.api("GET", `/accounts/{account}${bucket}/objects/slow-1`);
    assert.equal(missing.status, 404, "what was cut off is not kept");
  });

  it("an upload that is cut off leaves the object that was there", async () => {
    const path = `${bucket}/objects/kept`;
    const first = begin(path, { "content-length": "5" });
    assert.equal((await answered(first.end("first"))).statusCode, 200, platform.log());
    const cut = begin(path, { "content-length": `${2 * MEBIBYTE}` });
    cut.write(Buffer.alloc(MEBIBYTE), () => cut.destroy());
    await new Promise((resolve) => void cut.once("close", resolve));
    const { api, accountId, token } = platform.ready;
    const headers = { authorization: `Bearer ${token}` };
    const got = await fetch(`${api}/accounts/${accountId}${path}`, { headers });
    assert.equal(await got.text(), "first");
  });

  it("an object larger than the API takes is refused before it is read", async () => {
    const length = { "content-length": `${315 * MEBIBYTE + 1}` };
    const sent = begin(`${bucket}/objects/larger`, length);
    assert.equal((await answered(sent)).statusCode, 413);
    sent.destroy();
  });
});

async function answered(sent: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response.resume();
}
