import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { commandOf, familyOf, findInMemory } from "./helpers/memory.ts";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const skip =
  process.platform === "linux" && process.getuid?.() === 0 ? false : "only root reads all memory";

// Not the secrets themselves, because a Worker's answer passes through the ingress.
const source = `
import { createHash } from "node:crypto";
const hash = ([name, value]) => [name, createHash("sha256").update(value).digest("hex")];
export default {
  fetch: (request, env) => Response.json(Object.fromEntries(Object.entries(env).map(hash))),
};`;
const compatible = {
  compatibility_date: "2026-10-01",
  compatibility_flags: ["nodejs_compat"],
};
const module = { "index.js": ["application/javascript+module", source] } as const;

test(
  "secrets of Workers and passwords of databases are in no process but the Worker's and the gateway afterwards",
  { skip },
  async () => {
    await using platform = await startPlatform();
    const { api, token, accountId } = platform.ready;
    const account = `/accounts/${accountId}`;
    const script = `${account}/workers/scripts/shop`;
    const seen = new Map<string, string>();
    const secret = (what: string): string => {
      // Quotes are special in a shell, and JSON escapes some characters.
      const text = `it's "${randomBytes(20).toString("hex")}"`;
      seen.set(what, text);
      return text;
    };
    const send = async (method: string, path: string, body: unknown, status = 200) => {
      const answer = await platform.api(method, path, body);
      assert.equal(answer.status, status, JSON.stringify(answer.json));
      return answer.json.result as Record<string, string>;
    };
    const form = async (method: string, path: string, body: FormData) => {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${api}${path}`, { method, headers, body });
      assert.equal(answer.status, 200, await answer.text());
    };

    const uploaded = secret("in an upload");
    const bindings = [
      bound("UPLOADED", uploaded),
      { name: "PLAIN", type: "plain_text", text: "p" },
    ];
    await form("PUT", script, scriptForm({ bindings, ...compatible }, module));
    const put = secret("put");
    await send("PUT", `${script}/secrets`, bound("PUT", put));
    const many = secret("in bulk");
    await send("PATCH", `${script}/secrets-bulk`, {
      secrets: { BULK: { type: "secret_text", text: many } },
    });
    const sent = { PLAIN: "p", UPLOADED: uploaded, PUT: put, BULK: many };
    assert.deepEqual(
      JSON.parse((await platform.worker("shop")).body),
      Object.fromEntries(Object.entries(sent).map(([name, text]) => [name, hash(text)])),
    );
    const settings = new FormData();
    const inSettings = secret("in settings");
    const kept = { keep_bindings: ["secret_text"] };
    settings.set("settings", JSON.stringify({ bindings: [bound("SET", inSettings)], ...kept }));
    await form("PATCH", `${script}/settings`, settings);
    const versions = `${account}/workers/workers/shop/versions`;
    await send("PATCH", `${versions}/latest`, {
      env: { LATER: { type: "secret_text", text: secret("not deployed") } },
    });
    const content_base64 = Buffer.from(source).toString("base64");
    await send("POST", versions, {
      main_module: "index.js",
      ...compatible,
      modules: [
        { name: "index.js", content_type: "application/javascript+module", content_base64 },
      ],
      bindings: [bound("JSON", secret("in a version as JSON"))],
    });
    const origin = { scheme: "postgres", host: "db.example", port: 5432, database: "d", user: "u" };
    const { id } = await send("POST", `${account}/hyperdrive/configs`, {
      name: "db",
      origin: { ...origin, password: secret("a database's password") },
    });
    await send("PATCH", `${account}/hyperdrive/configs/${id}`, {
      origin: { password: secret("another password") },
    });
    await send("PUT", `${script}/secrets`, { ...bound("", secret("refused")), name: "" }, 400);
    for (let call = 0; call < 30; call++) await send("GET", `${script}/secrets`, undefined);
    const family = (): number[] => familyOf(platform.process.pid!);
    await until(() => family().every((pid) => !commandOf(pid).includes("intake/main")));

    const needles = Object.fromEntries(
      [...seen].map(([what, text]) => [what, Buffer.from(text.slice(6, 40))]),
    );
    const found: string[] = [];
    const inWorkers = new Set<string>();
    for (const pid of family()) {
      const command = commandOf(pid);
      for (const [what, times] of Object.entries(await findInMemory(pid, needles))) {
        if (times === 0) continue;
        if (/\/workerd\b.* serve /.test(command)) inWorkers.add(what);
        else if (!command.includes("gateway/main")) found.push(`${what}: ${times} in ${command}`);
      }
    }
    assert.deepEqual(found, []);
    assert.ok(inWorkers.has("in an upload"), "the scan finds what is there");
  },
);

function bound(name: string, text: string): object {
  return { name, type: "secret_text", text };
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
