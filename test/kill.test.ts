import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { test } from "node:test";
import { depth } from "./helpers/depth.ts";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

/**
 * Each round kills the platform at a random moment of `work`, and starts it again. In every other round, `work` has
 * reported an acknowledgement before the kill.
 */
async function killedRounds(
  rounds: number,
  work: (platform: TestPlatform, acknowledge: () => void) => Promise<void>,
  check: (platform: TestPlatform) => Promise<void>,
): Promise<void> {
  const dataFolder = mkdtempSync(join(tmpdir(), "countersign-kill-"));
  let platform = await startPlatform({ dataFolder });
  try {
    const { token } = platform.ready;
    for (let round = 0; round < rounds; round++) {
      const acknowledged = Promise.withResolvers<void>();
      const working = work(platform, acknowledged.resolve).catch(() => {});
      if (round % 2 === 0) await acknowledged.promise;
      await wait(randomInt(400));
      await platform.end("SIGKILL");
      await working;
      platform = await startPlatform({ dataFolder, token });
      await check(platform);
    }
  } finally {
    await platform[Symbol.asyncDispose]();
    rmSync(dataFolder, { recursive: true, force: true });
  }
}

test("an acknowledged deploy answers after kill -9, and one that was not acknowledged is old or new", async () => {
  let acknowledged = 0;
  let attempted = 0;
  await killedRounds(
    depth(2, 12),
    async (platform, acknowledge) => {
      for (;;) {
        attempted = Math.max(attempted, acknowledged) + 1;
        const { status } = await platform.api(
          "PUT",
          "/accounts/{account}/workers/scripts/counter",
          script(attempted),
        );
        assert.equal(status, 200);
        acknowledged = attempted;
        acknowledge();
      }
    },
    async (platform) => {
      if (acknowledged === 0) return;
      const { status, body } = await platform.worker("counter");
      assert.equal(status, 200, body);
      const live = Number(body);
      assert.ok(
        live >= acknowledged && live <= attempted,
        `version ${body} answers, ${acknowledged} was acknowledged, ${attempted} attempted`,
      );
      // A version that was seen live must not be lost either.
      acknowledged = live;
    },
  );
  assert.ok(acknowledged > 0);
});

test("kill -9 during an upload of assets: the site is of one version, whole, and the next upload goes on", async () => {
  let acknowledged = 0;
  let attempted = 0;
  await killedRounds(
    depth(2, 12),
    async (platform, acknowledge) => {
      for (;;) {
        attempted += 1;
        await deploySite(platform, attempted);
        acknowledged = attempted;
        acknowledge();
      }
    },
    async (platform) => {
      const numbers = new Set<number>();
      for (const path of sitePaths) {
        const { status, body } = await platform.worker("site", path);
        if (status === 404 && acknowledged === 0) return;
        assert.equal(status, 200, body);
        const number = Number.parseInt(body, 10);
        assert.equal(body, siteFile(path, number));
        numbers.add(number);
      }
      assert.equal(numbers.size, 1, [...numbers].join());
      const [live] = [...numbers] as [number];
      assert.ok(live >= acknowledged && live <= attempted, `${live}, not ${acknowledged}`);
      acknowledged = live;
      // The version whose upload was interrupted accepts the same upload again, and is complete.
      await deploySite(platform, attempted);
      const { body } = await platform.worker("site", sitePaths[0]);
      assert.equal(body, siteFile(sitePaths[0]!, attempted));
      acknowledged = attempted;
    },
  );
  assert.ok(acknowledged >= 2);
});

test("kill -9 during uploads at the same time: what was acknowledged is there, and the audit log is exact", async () => {
  const authority = await makeAuthority();
  const path = "/accounts/{account}/mtls_certificates";
  const acknowledged = new Set<string>();
  await killedRounds(
    depth(2, 12),
    async (platform, acknowledge) => {
      const upload = async (): Promise<void> => {
        for (;;) {
          const { chain, key } = await authority.issue({ subject: "CN=killed" });
          const body = { certificates: chain, private_key: key, ca: false };
          const { status, json } = await platform.api("POST", path, body);
          assert.equal(status, 200);
          acknowledged.add(json.result.id);
          acknowledge();
        }
      };
      await Promise.all(Array.from({ length: 8 }, upload));
    },
    async (platform) => {
      const { json } = await platform.api("GET", path);
      const stored = new Set((json.result as { id: string }[]).map(({ id }) => id));
      assert.deepEqual(
        [...acknowledged].filter((id) => !stored.has(id)),
        [],
      );
      const verified = await countersign(["audit", "verify", "--data", platform.dataFolder]);
      assert.equal(verified.status, 0, verified.stderr);
    },
  );
  assert.ok(acknowledged.size > 0);
});

test(
  "kill -9 of the platform leaves no process behind",
  { skip: !existsSync("/proc") },
  async () => {
    const platform = await startPlatform();
    await platform.api("PUT", "/accounts/{account}/workers/scripts/one", script(1));
    const family = descendants(platform.process.pid!);
    assert.ok(family.length >= 3, "gateway, ingress and workerd");
    await platform.end("SIGKILL");
    for (let tries = 0; tries < 100 && family.some(isAlive); tries++) await wait(50);
    assert.deepEqual(family.filter(isAlive), []);
    rmSync(platform.dataFolder, { recursive: true, force: true });
  },
);

test(
  "each process of the platform comes back by itself after kill -9",
  { skip: !existsSync("/proc") },
  async () => {
    await using platform = await startPlatform();
    await platform.api("PUT", "/accounts/{account}/workers/scripts/one", script(1));
    for (const pid of descendants(platform.process.pid!)) {
      if (!isAlive(pid)) continue;
      process.kill(pid, "SIGKILL");
      await answers(platform, "one", "1");
    }
  },
);

async function answers(platform: TestPlatform, name: string, expected: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const answer = await platform.worker(name).catch((error: Error) => ({ body: error.message }));
    if (answer.body === expected) return;
    if (Date.now() > deadline) assert.fail(`${name} answers ${answer.body}`);
    await wait(20);
  }
}

function script(number: number): FormData {
  const form = new FormData();
  const metadata = {
    main_module: "index.js",
    compatibility_date: "2026-11-01",
    bindings: [{ type: "plain_text", name: "NUMBER", text: String(number) }],
  };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set(
    "index.js",
    new File(["export default { fetch: (request, env) => new Response(env.NUMBER) }"], "index.js", {
      type: "application/javascript+module",
    }),
  );
  return form;
}

const sitePaths = Array.from({ length: 6 }, (_, n) => `/${n}.txt`);

function siteFile(path: string, number: number): string {
  return `${number} ${path}`.padEnd(300_000, "x");
}

/** As wrangler does: asks which files are missing, sends them, and deploys. */
async function deploySite(platform: TestPlatform, number: number): Promise<void> {
  const files = sitePaths.map((path) => {
    const content = siteFile(path, number);
    const hash = createHash("sha256").update(content).digest("hex").slice(0, 32);
    return { path, content, hash };
  });
  const manifest = Object.fromEntries(
    files.map(({ path, content, hash }) => [path, { hash, size: content.length }]),
  );
  const site = "/accounts/{account}/workers/scripts/site";
  const begun = await platform.api("POST", `${site}/assets-upload-session`, { manifest });
  const { jwt, buckets } = begun.json.result as { jwt: string; buckets: string[][] };
  const { api, accountId } = platform.ready;
  for (const missing of buckets.flat()) {
    const { status } = await fetch(
      `${api}/accounts/${accountId}/workers/assets/upload/${missing}`,
      {
        method: "POST",
        headers: { authorization: `Bearer ${jwt}` },
        body: files.find(({ hash }) => hash === missing)!.content,
      },
    );
    assert.equal(status, 201);
  }
  const form = new FormData();
  form.set("metadata", JSON.stringify({ compatibility_date: "2026-11-01", assets: { jwt } }));
  const deployed = await platform.api("PUT", site, form);
  assert.equal(deployed.status, 200, JSON.stringify(deployed.json.errors));
}

/** All processes under `pid`, from /proc, at any depth. */
function descendants(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  const children = readFileSync(file, "utf8").trim().split(" ").filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
