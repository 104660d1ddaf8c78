import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const INSIDE = "COUNTERSIGN_TEST_IN_NAMESPACE";
const ADDRESSES = ["11.22.33.44", "[2a00:1234::44]", "10.1.2.3"];

// The whole test runs again in a separate network namespace, in which this machine has a public address.
if (process.env[INSIDE] === undefined) {
  const name = "no Worker reaches the platform's own ports at any address of the machine";
  const skip = canHaveNetwork() ? false : "no network namespaces here";
  test(name, { skip }, async () => {
    const env: NodeJS.ProcessEnv = { ...process.env, [INSIDE]: "1" };
    delete env["NODE_TEST_CONTEXT"];
    const args = ["--map-root-user", "--net", process.execPath, import.meta.filename];
    await promisify(execFile)("unshare", args, { env, timeout: 60_000 });
  });
} else {
  test("inside", inside);
}

async function inside(): Promise<void> {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  for (const address of ADDRESSES) {
    const bare = address.replace(/[[\]]/g, "");
    const [family, bits] = bare.includes(":") ? ["-6", 128] : ["-4", 32];
    const nodad = family === "-6" ? ["nodad"] : [];
    execFileSync("ip", [family, "addr", "add", `${bare}/${bits}`, "dev", "lo", ...nodad]);
  }
  const other = createServer((_, response) => response.end("another program")).listen(0, "::");
  other.unref();
  await once(other, "listening");
  const { port: otherPort } = other.address() as AddressInfo;
  const args = [
    "--host",
    "::",
    "--api-host",
    "::",
    "--unsafe-plain-api",
    "--metrics-port",
    "0",
    "--fetch-allow",
    "public",
    "private",
  ];
  await using platform = await startPlatform({ args });
  const [api, http] = [platform.ready.api, platform.ready.http].map((url) => new URL(url).port);
  const client = await (await makeAuthority()).issue({ subject: "CN=client" });
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", {
    certificates: client.chain,
    private_key: client.key,
    ca: false,
  });
  const code = `export default { async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const by = searchParams.get("by") === "binding" ? env.CERT : globalThis;
    try {
      const answer = await by.fetch(searchParams.get("to"));
      return new Response(answer.headers.get("countersign-failure") ?? "REACHED " + (await answer.text()));
    } catch (error) { return new Response("threw " + error); }
  } }`;
  const form = scriptForm(
    {
      main_module: "index.js",
      compatibility_date: "2026-11-01",
      bindings: [{ type: "mtls_certificate", name: "CERT", certificate_id: json.result.id }],
    },
    { "index.js": ["application/javascript+module", code] },
  );
  const put = await platform.api("PUT", "/accounts/{account}/workers/scripts/curious", form);
  assert.equal(put.status, 200, JSON.stringify(put.json));
  const ask = async (by: string, to: string): Promise<string> =>
    (await platform.worker("curious", `/?by=${by}&to=${encodeURIComponent(to)}`)).body;

  for (const address of ADDRESSES) {
    for (const port of [api, http]) {
      assert.match(await ask("fetch", `http://${address}:${port}/`), /^threw/, address);
      const answer = await ask("binding", `https://${address}:${port}/`);
      assert.equal(answer, "origin_address_refused", address);
    }
    // A binding tells ports apart: the other program answers, though not with TLS.
    const answer = await ask("binding", `https://${address}:${otherPort}/`);
    assert.notEqual(answer, "origin_address_refused", address);
  }
  const mapped = await ask("binding", `https://[::ffff:10.1.2.3]:${api}/`);
  assert.equal(mapped, "origin_address_refused");
  assert.match(platform.log(), /11\.22\.33\.44 port \d+ was refused/);
  other.close();
}

function canHaveNetwork(): boolean {
  try {
    execFileSync("unshare", ["--map-root-user", "--net", "ip", "link", "set", "lo", "up"], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}
