import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const docs = join(import.meta.dirname, "..", "docs");

describe("what Prometheus reads", () => {
  let platform: TestPlatform;
  let url: string;
  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--metrics-port", "0"] });
    url = String(platform.ready.metrics);
    const leaf = await (await makeAuthority()).issue({ subject: "CN=app" });
    const body = { certificates: leaf.pem, private_key: leaf.key, ca: false };
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    const bindings = [{ name: "CERT", type: "mtls_certificate", certificate_id: json.result.id }];
    const code = `export default {
      fetch: (request, env) => request.url.endsWith("/origin") ? env.CERT.fetch("https://127.0.0.1:9/") : new Response("hello")
    };`;
    const form = scriptForm({ bindings }, { "index.js": ["application/javascript+module", code] });
    await platform.api("PUT", "/accounts/{account}/workers/scripts/shop", form);
    await platform.worker("shop", "/");
    await platform.worker("shop", "/origin");
    await platform.worker("nobody", "/");
  });
  after(() => platform[Symbol.asyncDispose]());

  const scrape = async (): Promise<string> => (await fetch(url)).text();

  it("has requests, errors, latency, CPU, memory and restarts of each Worker", async () => {
    const text = await scrape();
    const value = (name: string, labels: RegExp): number =>
      Number(
        new RegExp(`^${name}\\{(?=[^}]*${labels.source})[^}]*\\} (\\S+)$`, "m").exec(text)?.[1],
      );
    assert.equal(value("countersign_worker_requests_total", /script="shop",status="2xx"/), 1);
    assert.equal(value("countersign_worker_requests_total", /script="shop",status="5xx"/), 1);
    assert.equal(value("countersign_worker_request_seconds_count", /script="shop"/), 2);
    assert.ok(value("countersign_worker_cpu_seconds_total", /script="shop"/) > 0);
    assert.ok(value("countersign_worker_memory_bytes", /script="shop"/) > 1_000_000);
    assert.equal(value("countersign_worker_processes", /script="shop"/), 1);
    assert.equal(value("countersign_worker_restarts", /script="shop"/), 0);
    assert.equal(value("countersign_worker_requests_in_flight", /script="shop"/), 0);
    assert.equal(value("countersign_ingress_refused_total", /code="host_unknown"/), 1);
    assert.equal(value("countersign_failures_total", /binding="CERT",code="\w+"/), 1);
  });

  it("has CPU time that grows", async () => {
    const earlier = cpuSeconds(await scrape());
    for (let n = 0; n < 50; n += 1) await platform.worker("shop", "/");
    assert.ok(cpuSeconds(await scrape()) > earlier);
  });

  it("names no metric twice, and says of each what it is", async () => {
    const text = await scrape();
    const helps = [...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name!);
    assert.deepEqual(helps, [...new Set(helps)]);
    const names = [...text.matchAll(/^([a-z_]+)(?:\{| )/gm)].map(([, name]) => name!);
    for (const name of names) {
      const base = name.replace(/_(bucket|sum|count)$/, "");
      assert.ok(helps.includes(name) || helps.includes(base), name);
    }
  });

  it("is what the dashboard and the docs name, and nothing else is there", async () => {
    const text = await scrape();
    const dashboard = readFileSync(join(docs, "grafana", "countersign.json"), "utf8");
    const page = readFileSync(join(docs, "observability.md"), "utf8");
    const isThere = (name: string): boolean =>
      new RegExp(`^# HELP ${name.replace(/_(bucket|sum|count)$/, "")} `, "m").test(text);
    for (const [where, source] of Object.entries({ dashboard, page })) {
      const names = new Set(source.match(/\bcountersign_[a-z_]+[a-z]\b/g));
      assert.ok(names.size > 10);
      for (const name of names) {
        const isFamily = /^countersign_(ingress|gateway|control)$/.test(name);
        assert.ok(isFamily || isThere(name), `${where}: ${name}`);
      }
    }
    const own = [...text.matchAll(/^# HELP (countersign_\w+)/gm)].map(([, name]) => name!);
    for (const name of own) {
      const isNodes = /^countersign_(gateway|control|ingress)_(process|nodejs)_/.test(name);
      assert.ok(isNodes || page.includes(`\`${name}\``), `${name} is not in docs/observability.md`);
    }
    const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] };
    assert.ok(panels.every(({ targets }) => targets.length > 0));
  });

  it("the platform says that it is healthy and ready, to anybody", async () => {
    const api = new URL(platform.ready.api).origin;
    assert.equal((await fetch(`${api}/healthz`)).status, 200);
    assert.equal((await fetch(`${api}/readyz`)).status, 200);
  });
});

function cpuSeconds(text: string): number {
  return Number(/^countersign_worker_cpu_seconds_total\{.*\} (\S+)$/m.exec(text)?.[1]);
}
