import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, describe, it } from "node:test";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const js = "application/javascript";
/** The shortest module: it exports nothing. */
const WASM = Uint8Array.fromHex("0061736d01000000");

describe("a Worker in service-worker format", () => {
  let platform: TestPlatform;
  let project: WranglerProject;
  let certificate: string;
  let origin: string;
  const server = createServer({ requestCert: true, rejectUnauthorized: false });

  before(async () => {
    platform = await startPlatform();
    const authority = await makeAuthority();
    const own = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    server.setSecureContext({ cert: own.chain, key: own.key, ca: authority.pem });
    server.on("request", (request, response) => {
      response.end((request.socket as TLSSocket).getPeerCertificate().subject.CN);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    origin = `https://localhost:${(server.address() as AddressInfo).port}`;
    await upload({ certificates: authority.pem, ca: true });
    const { chain, key } = await authority.issue({ subject: "CN=an old Worker" });
    certificate = await upload({ certificates: chain, private_key: key, ca: false });
    const { api, token, accountId } = platform.ready;
    project = await wranglerProject({ api, token, accountId });
  });
  after(async () => {
    await project?.[Symbol.asyncDispose]();
    await platform?.[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });

  const upload = async (body: object): Promise<string> => {
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return json.result.id as string;
  };

  it("wrangler deploys it with a certificate, a secret, text, data and Wasm as globals", async () => {
    await project.write({
      "wrangler.json": {
        name: "old",
        main: "index.js",
        compatibility_date: "2026-11-01",
        vars: { ORIGIN: origin },
        mtls_certificates: [{ binding: "CERT", certificate_id: certificate }],
        wasm_modules: { WASM: "empty.wasm" },
        text_blobs: { TEXT: "text.txt" },
        data_blobs: { DATA: "data.bin" },
        triggers: { crons: ["0 0 1 1 *"] },
      },
      "index.js": `addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
addEventListener("scheduled", () => {});
async function answer() {
  return Response.json({
    seen: await (await CERT.fetch(ORIGIN)).text(),
    secret: typeof SECRET === "undefined" ? null : SECRET,
    text: TEXT,
    data: [...new Uint8Array(DATA)],
    wasm: WebAssembly.Module.exports(WASM),
  });
}`,
      "empty.wasm": WASM,
      "text.txt": "some text",
      "data.bin": new Uint8Array([1, 2, 255]),
    });
    const deployed = await project.run(["deploy"]);
    assert.equal(deployed.exitCode, 0, deployed.output);
    const whole = { seen: "an old Worker", text: "some text", data: [1, 2, 255], wasm: [] };
    assert.deepEqual(await answer(), { ...whole, secret: null });
    const put = await project.run(["secret", "put", "SECRET"], { stdin: "kept" });
    assert.equal(put.exitCode, 0, put.output);
    assert.deepEqual(await answer(), { ...whole, secret: "kept" });
    const shown = await platform.api("GET", "/accounts/{account}/workers/scripts");
    const [script] = shown.json.result as { id: string; has_modules: boolean }[];
    assert.deepEqual([script?.id, script?.has_modules], ["old", false]);
  });

  it("its content is the script, and is replaced as such", async () => {
    const path = "/accounts/{account}/workers/scripts/old";
    const { ready } = platform;
    const content = await fetch(
      `${ready.api}${path.replace("{account}", ready.accountId)}/content/v2`,
      { headers: { authorization: `Bearer ${ready.token}` } },
    );
    assert.match(content.headers.get("content-type") ?? "", /^application\/javascript/);
    assert.match(await content.text(), /addEventListener\("fetch"/);
    const form = new FormData();
    form.set("metadata", JSON.stringify({ body_part: "new.js" }));
    const code = `addEventListener("fetch", (e) => e.respondWith(new Response(TEXT)));`;
    form.set("new.js", new File([code], "new.js", { type: js }));
    const missing = await platform.api("PUT", `${path}/content`, form);
    assert.equal(missing.json.success, false);
    assert.match(missing.json.errors[0]!.message, /is a \w+, and its part "\w+" was not uploaded/);
    for (const [name, type] of [
      ["TEXT", "text/plain"],
      ["DATA", "application/octet-stream"],
      ["WASM", "application/wasm"],
    ] as const) {
      form.set(name, new File([name === "WASM" ? WASM : `new ${name}`], name, { type }));
    }
    const { json } = await platform.api("PUT", `${path}/content`, form);
    assert.ok(json.success, JSON.stringify(json.errors));
    assert.equal((await platform.worker("old")).body, "new TEXT");
  });

  it("a script that throws as it starts is refused with its line", async () => {
    const form = new FormData();
    form.set("metadata", JSON.stringify({ body_part: "bad.js", compatibility_date: "2026-11-01" }));
    form.set("bad.js", new File(["\n\nnothing.here();"], "bad.js", { type: js }));
    const { json } = await platform.api("PUT", "/accounts/{account}/workers/scripts/bad", form);
    assert.equal(json.success, false);
    assert.match(json.errors[0]!.message, /nothing is not defined[\s\S]*:3/);
  });

  const answer = async (): Promise<unknown> => {
    const { status, body } = await platform.worker("old");
    assert.equal(status, 200, body);
    return JSON.parse(body);
  };
});
