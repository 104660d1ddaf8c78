import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { makeProject, type TestProject } from "./helpers/dev-project.ts";

const base = { name: "shop", main: "index.js", compatibility_date: "2025-11-17" };
const binding = { binding: "MY_CERT", certificate_id: "none" };
const worker = `export default { fetch: () => new Response("ok") }`;

async function shop(files: Readonly<Record<string, string>> = {}): Promise<TestProject> {
  return makeProject({
    "wrangler.json": JSON.stringify({ ...base, mtls_certificates: [binding] }),
    "index.js": worker,
    ...files,
  });
}

async function refusal(project: TestProject, ...args: readonly string[]): Promise<string> {
  await using running = project.run("dev", "--inspector-port", "0", ...args);
  assert.equal(await running.ended, 1, running.output);
  assert.doesNotMatch(running.output, /^ +at .*\.ts:/m, "no stack trace");
  return running.output;
}

async function usage(project: TestProject, ...args: readonly string[]): Promise<string> {
  await using running = project.run("dev", ...args);
  assert.equal(await running.ended, 2, running.output);
  return running.output;
}

describe("countersign dev refuses, and says what and where", () => {
  test("a Wrangler configuration that does not parse, in wrangler's words", async () => {
    await using project = await shop({ "wrangler.json": `{\n "name": "shop",\n "main": \n}` });
    assert.match(await refusal(project), /wrangler\.json:4:0: ValueExpected/);
  });

  test("a Wrangler configuration with a wrong field, in wrangler's words", async () => {
    const wrong = JSON.stringify({ ...base, mtls_certificates: [{ binding: 3 }] });
    await using project = await shop({ "wrangler.json": wrong });
    assert.match(
      await refusal(project),
      /mtls_certificates\[0\]" bindings should have a string "bind/,
    );
  });

  test("an entry point that is not there, in wrangler's words", async () => {
    const wrong = JSON.stringify({ ...base, main: "nowhere.js" });
    await using project = await shop({ "wrangler.json": wrong });
    assert.match(await refusal(project), /nowhere\.js/);
  });

  test("--cert for a binding that the project does not have", async () => {
    await using project = await shop();
    const said = await refusal(project, "--cert", "OTHER=a.pem,b.pem");
    assert.match(said, /--cert names "OTHER", and the project's mTLS bindings are MY_CERT/);
  });

  test("--cert that is not of the form", async () => {
    await using project = await shop();
    assert.match(await refusal(project, "--cert", "a.pem"), /dev_option_malformed/);
  });

  test("what is Cloudflare's network, and a second configuration", async () => {
    await using project = await shop();
    assert.match(
      await usage(project, "--remote"),
      /--remote is not an option .*\n.*\n.*on Cloudflare's network/,
    );
    const two = await usage(project, "-c", "a.json", "-c", "b.json");
    assert.match(two, /--config is given twice, "a\.json" and "b\.json"/);
  });

  test("a binding that is Cloudflare's network wherever it runs, and says how to do without", async () => {
    const ai = JSON.stringify({ ...base, ai: { binding: "AI" } });
    await using project = await shop({ "wrangler.json": ai });
    const offline = project.with({ CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:1/client/v4" });
    assert.match(await refusal(offline), /`countersign dev --local` starts without them/);
  });

  test("a PEM file that is not there, or none", async () => {
    await using project = await shop({ "none.pem": "hello" });
    const missing = await refusal(project, "--cert", "MY_CERT=a.pem,b.pem");
    assert.match(missing, /reading ".*a\.pem" failed: ENOENT/);
    const none = await refusal(project, "--cert", "MY_CERT=none.pem");
    assert.match(none, /the certificate of "MY_CERT" \(".*none\.pem"\)/);
    assert.match(none, /code +pem_missing/);
  });

  test("a certificate of a platform that does not run", async () => {
    await using project = await shop({
      "countersign.json": `{"bindings": {"MY_CERT": {"certificate": {"name": "app-cert"}}}}`,
    });
    assert.match(await refusal(project), /\{"name":"app-cert"\}, and no running platform has it/);
  });

  test("countersign.json with an unknown field, naming the line", async () => {
    await using project = await shop({
      "countersign.json": `{\n  "bindings": {\n    "MY_CERT": { "cret": {} }\n  }\n}`,
    });
    assert.match(await refusal(project), /countersign\.json:3:\d+: bindings\.MY_CERT\.cret: /);
  });

  test("countersign.json that is no JSON, naming the line", async () => {
    await using project = await shop({ "countersign.json": `{\n  "ca": [,]\n}` });
    assert.match(await refusal(project), /countersign\.json:2:\d+: ValueExpected/);
  });

  test("a port that is in use", async () => {
    await using project = await shop();
    await using server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const said = await refusal(project, "--ip", "127.0.0.1", "--port", String(port));
    assert.match(said, new RegExp(`${port}`));
    assert.match(said, /in use/i);

    await using origin = project.run("dev", "origin", "--port", String(port));
    assert.equal(await origin.ended, 1);
    assert.match(origin.output, new RegExp(`listening on port ${port} failed: EADDRINUSE`));
  });

  test("a development CA whose key is another's", async () => {
    await using project = await shop({ ".countersign/authority.pem": "nonsense" });
    assert.match(await refusal(project), /authority\.pem" holds no CA that can sign/);
  });

  test("a folder without wrangler, and a wrangler of another major version", async () => {
    await using project = await shop({
      "packages/app/node_modules/wrangler/package.json": `{"name": "wrangler", "version": "3.99.0"}`,
      "packages/app/wrangler.json": "{}",
    });
    const said = await refusal(project, "--cwd", "packages/app");
    assert.match(said, /wrangler 3\.99\.0 is installed, and 4\.48\.0 up to 4\.x is supported/);
  });
});
