import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { after, before, test } from "node:test";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";

const PLAIN = "hello ".repeat(5_000);

let authority: TestAuthority;
let origin: TestOrigin;
let edge: TestEdge;
let asked: (string | undefined)[] = [];
before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({
    authority,
    handler: (request, response) => {
      const wanted = request.headers["accept-encoding"]?.toString();
      asked.push(wanted);
      const coding = /br/.test(wanted ?? "") ? "br" : /gzip/.test(wanted ?? "") ? "gzip" : null;
      response.setHeader("etag", '"1"');
      if (coding !== null) response.setHeader("content-encoding", coding);
      const body = coding === "br" ? brotliCompressSync(PLAIN) : gzipSync(PLAIN);
      if (request.url === "/cut") response.end(body.subarray(0, body.length - 9));
      else if (request.url === "/304") response.writeHead(304).end();
      else if (request.url === "/empty") response.end();
      else response.end(coding === null ? PLAIN : body);
    },
  });
  edge = await startTestEdge({ gateway: { addresses: { development: true } } });
  edge.source.setTrust({ authorities: [authority.pem], hosts: {}, proxied: [] });
  const { chain, key } = await authority.issue({ subject: "CN=c" });
  const owner = { masterKey: MASTER_KEY, accountId: ACCOUNT, certificateId: "c" };
  edge.source.setCertificate(sealedCertificate({ chain, key }, owner));
  const worker = `export default { async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const headers = new Headers();
    for (const name of ["accept-encoding", "range"]) {
      if (searchParams.has(name)) headers.set(name, searchParams.get(name));
    }
    const answer = await env.CERT.fetch("${origin.url}" + pathname, { method: request.method, headers });
    if (searchParams.has("read")) return new Response(String((await answer.text()).length));
    return answer;
  } };`;
  const binding = { type: "mtls_certificate", name: "CERT", certificateId: "c" } as const;
  const version = makeVersion("now", worker, [binding]);
  await edge.deploy(version);
  await edge.deploy({
    ...makeVersion("old", worker, [binding]),
    compatibilityDate: "2023-01-01",
  });
});
after(async () => {
  await edge[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

async function get(
  host: string,
  path: string,
  headers: OutgoingHttpHeaders = {},
  method = "GET",
): Promise<{ head: IncomingMessage; body: Buffer }> {
  asked = [];
  const request = httpRequest({
    port: edge.edge.httpPort,
    path,
    method,
    headers: { host: `${host}.localhost`, ...headers },
    agent: false,
  }).end();
  const [head] = (await once(request, "response")) as [IncomingMessage];
  return { head, body: Buffer.concat(await head.toArray()) };
}

test("an origin is asked for what the Worker's runtime decodes, and the Worker reads it decoded once", async () => {
  for (const [host, accept] of [
    ["now", "gzip, br"],
    ["old", "gzip"],
  ] as const) {
    assert.equal((await get(host, "/?read")).body.toString(), String(PLAIN.length));
    assert.deepEqual(asked, [accept]);
  }
});

test("a Worker's own accept-encoding, a range and a HEAD are sent as they are", async () => {
  assert.equal((await get("now", "/?read&accept-encoding=identity")).head.statusCode, 200);
  assert.deepEqual(asked, ["identity"]);
  await get("now", "/?read&range=bytes=0-4");
  assert.deepEqual(asked, [undefined]);
  const { head } = await get("now", "/", {}, "HEAD");
  assert.deepEqual([asked, head.headers["etag"]], [[undefined], '"1"']);
});

test("a response that is handed on reaches each client in a form that it reads", async () => {
  const asIs = await get("now", "/", { "accept-encoding": "br" });
  assert.equal(brotliDecompressSync(asIs.body).toString(), PLAIN);
  assert.deepEqual(
    [asIs.head.headers["content-encoding"], asIs.head.headers["etag"]],
    ["br", '"1"'],
  );
  const old = await get("old", "/", { "accept-encoding": "deflate, gzip" });
  assert.equal(gunzipSync(old.body).toString(), PLAIN);
  for (const headers of [{}, { "accept-encoding": "gzip;q=1, br;q=0" }]) {
    const { head, body } = await get("now", "/", headers);
    assert.equal(body.toString(), PLAIN);
    const { etag, vary } = head.headers;
    assert.deepEqual(
      [head.headers["content-encoding"], head.headers["content-length"], etag, vary],
      [undefined, undefined, 'W/"1"', "accept-encoding"],
    );
  }
});

test("without a body there is nothing to decode, and a cut one never ends cleanly", async () => {
  assert.equal((await get("now", "/304")).head.statusCode, 304);
  assert.equal((await get("now", "/empty")).body.length, 0);
  await assert.rejects(get("now", "/cut"), /aborted/);
  assert.equal((await get("now", "/")).body.toString(), PLAIN);
});
