import assert from "node:assert/strict";
import { sign } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { makeAuthority, type TestAuthority } from "../../../test/helpers/pki.ts";
import { until } from "../../../test/helpers/until.ts";
import { follow, type Followed } from "./follow.ts";

const policy = { allow: [{ worker: "a" }] };
let ca: TestAuthority;
let other: TestAuthority;
let folder: string;

before(async () => {
  [ca, other] = await Promise.all([makeAuthority("Acme"), makeAuthority("Acme")]);
  folder = await mkdtemp(join(tmpdir(), "origin-follow-"));
});

after(() => rm(folder, { recursive: true }));

/** A feed as a control plane signs it. */
async function feed(
  cursor: number,
  { by = ca, revoked = [] as string[], as = "feed" } = {},
): Promise<string> {
  const signer = await by.issue({
    subject: "CN=feed",
    uris: [`spiffe://example.org/account/acme/${as}`],
  });
  const head = { alg: "ES256", x5c: [Buffer.from(signer.x509.rawData).toString("base64")] };
  const body = {
    cursor,
    account: "acme",
    authorities: [by.pem],
    revoked,
    policy: { name: "orders", version: cursor, policy },
  };
  const text = [head, body]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const key = { key: signer.key, dsaEncoding: "ieee-p1363" as const };
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}

type Answer = string | (() => Response) | null;

interface Plane extends AsyncDisposable {
  readonly followed: Followed;
  readonly said: string[];
  /** What the control plane answers from now on. Null: it cannot be reached. */
  readonly say: (answer: Answer) => void;
}

function plane(first: Answer, cache?: string): Plane {
  let answer: Answer = first;
  const said: string[] = [];
  const followed = follow({
    api: "https://control.test/client/v4",
    account: "acme",
    authorities: ca.pem,
    policy: "orders",
    ...(cache !== undefined && { cache }),
    log: (message) => said.push(message),
    fetch: () =>
      answer === null
        ? Promise.reject(new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") }))
        : Promise.resolve(typeof answer === "string" ? new Response(answer) : answer()),
  });
  return {
    followed,
    said,
    say: (next) => (answer = next),
    [Symbol.asyncDispose]: () => followed[Symbol.asyncDispose](),
  };
}

test("what came last stays in force while the control plane is away, and is followed when it is back", async () => {
  await using it = plane(await feed(1));
  await it.followed.ready;
  it.say(null);
  await until(() => it.said.length === 1);
  assert.match(it.said[0]!, /what was in force stays: fetch failed: ECONNREFUSED/);
  assert.deepEqual(
    [it.followed.cursor(), it.followed.trust.policy],
    [1, { allow: [{ worker: ["a"] }] }],
  );
  it.say(await feed(2, { revoked: ["AB12"] }));
  await until(() => it.followed.cursor() === 2);
  assert.equal(it.followed.trust.state.revoked.has("ab12"), true);
  assert.equal(it.said.length, 1);
});

test("an older feed, another account's feed and one that a Worker signed change nothing", async () => {
  const cases = [
    [await feed(4), /older \(4\) than what is in force \(5\)/],
    [await feed(6, { by: other }), /does not lead to a CA of the account/],
    [await feed(6, { as: "worker/a" }), /was not made for that/],
    [(await feed(6)).replace(/.{8}$/, "AAAAAAAA"), /signature does not fit/],
    ["<html>", /not a signed message/],
  ] as const;
  const tried = cases.map(async ([answer, why]) => {
    await using it = plane(await feed(5, { revoked: ["AB12"] }));
    await it.followed.ready;
    it.say(answer);
    await until(() => it.said.some((line) => why.test(line)));
    assert.equal(it.followed.cursor(), 5);
    assert.equal(it.followed.trust.state.revoked.has("AB12"), true);
  });
  await Promise.all(tried);
});

test("an answer without end is read no further than any feed is long, and changes nothing", async () => {
  await using it = plane(await feed(5));
  await it.followed.ready;
  let given = 0;
  const isLetGo: number[] = [];
  for (const status of [200, 500]) {
    it.said.length = 0;
    const body = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        pull: (controller) => {
          given += 1;
          controller.enqueue(new Uint8Array(1 << 20));
        },
        cancel: () => void isLetGo.push(status),
      });
    it.say(() => new Response(body(), { status }));
    const why = status === 200 ? /answer is longer than 16777216 bytes/ : /answers 500/;
    await until(() => it.said.some((line) => why.test(line)));
    it.say(null);
    await until(() => isLetGo.includes(status));
  }
  assert.ok(given < 100, `${given} MiB`);
  assert.equal(it.followed.cursor(), 5);
});

test("a start without the control plane has what the cache holds, and nothing from a cache of others", async () => {
  const cache = join(folder, "feed");
  {
    await using it = plane(await feed(7, { revoked: ["AB12"] }), cache);
    await it.followed.ready;
    await until(async () => (await readFile(cache, "utf8").catch(() => "")) !== "");
  }
  {
    await using it = plane(null, cache);
    await it.followed.ready;
    assert.equal(it.followed.cursor(), 7);
    assert.equal(it.followed.trust.state.revoked.has("AB12"), true);
    assert.notEqual(it.followed.trust.policy, null);
  }
  await writeFile(cache, await feed(8, { by: other }));
  await using it = plane(null, cache);
  await until(() => it.said.length > 0);
  await wait(20);
  assert.deepEqual([it.followed.cursor(), it.followed.trust.policy], [0, null]);
});
