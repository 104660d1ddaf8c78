import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const hash = (n: number): string => n.toString(16).padStart(32, "0");
const failure = ({ json }: { json: any }): string => json.errors[0].meta.failure;

describe("what uploads of static assets may take", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const begin = (name: string, manifest: object) =>
    platform.api("POST", `/accounts/{account}/workers/scripts/${name}/assets-upload-session`, {
      manifest,
    });
  const send = async (
    jwt: string,
    path: string,
    body: string | FormData,
  ): Promise<[number, any]> => {
    const { api, accountId } = platform.ready;
    const headers = { authorization: `Bearer ${jwt}` };
    const url = `${api}/accounts/${accountId}/workers/assets/upload${path}`;
    const answer = await fetch(url, { method: "POST", headers, body });
    return [answer.status, await answer.json()];
  };
  const contents = (): readonly string[] => {
    const folder = join(platform.dataFolder, "storage", platform.ready.accountId, "assets");
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      /[0-9a-f]{32}/.test(name),
    );
  };

  it("more files than Cloudflare takes, or larger ones, are refused before any is sent", async () => {
    const files = Array.from({ length: 20_001 }, (_, n) => [`/${n}`, { hash: hash(n), size: 1 }]);
    const many = await begin("many", Object.fromEntries(files));
    assert.match(many.json.errors[0]!.message, /more than 20000 files/);
    const large = await begin("large", { "/a": { hash: hash(1), size: 25 * 1024 * 1024 + 1 } });
    assert.equal(large.status, 400);
    const out = await begin("out", { "/../../x": { hash: hash(1), size: 1 } });
    assert.equal(failure(out), "assets_manifest_invalid");
    assert.deepEqual(contents(), []);
  });

  it("an account's files are bounded, and an upload beyond that is refused at its beginning", async () => {
    // 450 contents of 25 MiB: more than 10 GiB.
    const size = 25 * 1024 * 1024;
    const files = Array.from({ length: 450 }, (_, n) => [`/${n}`, { hash: hash(n), size }]);
    const { status, json } = await begin("vast", Object.fromEntries(files));
    assert.equal(status, 413);
    assert.equal(failure({ json }), "assets_too_large");
  });

  it("only what was announced is taken, in its size, and only with the token of its upload", async () => {
    const announced = { "/a.txt": { hash: hash(7), size: 5 } };
    const { jwt, buckets } = (await begin("exact", announced)).json.result;
    assert.deepEqual(buckets, [[hash(7)]]);
    assert.equal((await send(platform.ready.token, `/${hash(7)}`, "hello"))[0], 401);
    assert.equal((await send(`${jwt}x`, `/${hash(7)}`, "hello"))[0], 401);
    for (const [at, body] of [
      [hash(8), "hello"],
      [hash(7), "hell"],
      [hash(7), "hello!"],
      ["..%2f..%2fx", "hello"],
    ]) {
      const [status, json] = await send(jwt, `/${at}`, body!);
      assert.equal(status, 400, body!);
      assert.equal(failure({ json }), "asset_unexpected");
    }
    assert.deepEqual(contents(), []);
    const form = new FormData();
    form.append(hash(7), new File([Buffer.from("hello").toString("base64")], hash(7)));
    assert.equal((await send(jwt, "?base64=true", form))[0], 201);
    assert.equal(contents().length, 1);
    assert.deepEqual((await begin("exact", announced)).json.result.buckets, []);
  });

  it("the eleventh upload of an account ends the first, and what it had alone is removed", async () => {
    const first = (await begin("first", { "/a": { hash: hash(900), size: 1 } })).json.result.jwt;
    assert.equal((await send(first, `/${hash(900)}`, "x"))[0], 201);
    for (let n = 0; n < 10; n++) await begin("later", { "/b": { hash: hash(n), size: 1 } });
    const [status, json] = await send(first, `/${hash(900)}`, "x");
    assert.equal(status, 401);
    assert.equal(failure({ json }), "assets_session_unknown");
    await begin("later", { "/b": { hash: hash(1), size: 1 } });
    assert.ok(!contents().some((name) => name.includes(hash(900))));
  });

  it("a token of another Worker's upload, or of an incomplete one, deploys nothing", async () => {
    const { jwt } = (await begin("half", { "/a": { hash: hash(77), size: 1 } })).json.result;
    const deploy = async (name: string): Promise<string> => {
      const form = new FormData();
      const metadata = { compatibility_date: "2026-11-01", assets: { jwt } };
      form.append("metadata", JSON.stringify(metadata));
      const path = `/accounts/{account}/workers/scripts/${name}`;
      return failure(await platform.api("PUT", path, form));
    };
    assert.equal(await deploy("half"), "assets_incomplete");
    assert.equal(await deploy("another"), "assets_session_unknown");
  });
});
