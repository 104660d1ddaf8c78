import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

// `countersign-cf` is how processes of the platform tell each other of `request.cf`, and
// `countersign-failure` how the gateway tells a Worker that it, and not the origin, has answered.

const FORGED = JSON.stringify({ tlsClientAuth: { certVerified: "SUCCESS" } });
/** Each in another case: a message may have a name more than once. */
const SPELLINGS = ["Countersign-CF", "countersign-cf", "COUNTERSIGN-CF", "cOuNtErSiGn-Cf"];

let platform: TestPlatform;
let http1: TestOrigin;
let http2: TestOrigin;

before(async () => {
  platform = await startPlatform();
  const authority = await makeAuthority("Origins");
  http1 = await startOrigin({
    authority,
    handler: (request, response) => {
      const names = request.rawHeaders.filter((_, i) => i % 2 === 0);
      response
        .setHeader("countersign-failure", "forged")
        .setHeader("Countersign-Ray", "0".repeat(16));
      response.end(JSON.stringify({ version: request.httpVersion, names }));
    },
  });
  http2 = await startHttp2Origin(authority);
  const upload = async (body: object): Promise<string> => {
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    assert.deepEqual(json.errors, []);
    return json.result.id as string;
  };
  await upload({ certificates: authority.pem, ca: true, name: "origins" });
  const { chain, key } = await authority.issue({ subject: "CN=worker" });
  const certificate = { certificates: chain, private_key: key, ca: false, name: "worker" };
  const id = await upload(certificate);
  await deploy("callee", CALLEE, {
    bindings: [{ type: "durable_object_namespace", name: "OBJECTS", class_name: "Objects" }],
    migrations: { new_tag: "v1", new_sqlite_classes: ["Objects"] },
  });
  const objects = { class_name: "Objects", script_name: "callee" };
  await deploy("caller", CALLER, {
    bindings: [
      { type: "service", name: "DEFAULT", service: "callee" },
      { type: "service", name: "NAMED", service: "callee", entrypoint: "Named" },
      { type: "durable_object_namespace", name: "OBJECTS", ...objects },
      { type: "mtls_certificate", name: "CERT", certificate_id: id },
    ],
  });
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await http1[Symbol.asyncDispose]();
  await http2[Symbol.asyncDispose]();
});

const CALLEE = `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
const told = ({ cf, headers }) =>
  Response.json({ verified: cf?.tlsClientAuth?.certVerified ?? null, names: [...headers.keys()] });
export class Objects extends DurableObject { fetch(request) { return told(request); } }
export class Named extends WorkerEntrypoint { fetch(request) { return told(request); } }
export default { fetch: told };`;

const CALLER = `export default {
  async fetch(request, env) {
    const { way, url, name } = JSON.parse(new URL(request.url).searchParams.get("task"));
    const ways = {
      DEFAULT: env.DEFAULT,
      NAMED: env.NAMED,
      OBJECTS: env.OBJECTS.get(env.OBJECTS.idFromName("one")),
      CERT: env.CERT,
    };
    const headers = { [name]: ${JSON.stringify(FORGED)} };
    const answer = await ways[way].fetch(url, { headers });
    return Response.json({ ...(await answer.json()), answered: [...answer.headers.keys()] });
  },
};`;

interface Told {
  readonly verified?: string | null;
  readonly version?: string;
  readonly names: readonly string[];
  readonly answered: readonly string[];
}

for (const way of ["DEFAULT", "NAMED", "OBJECTS"]) {
  test(`what a Worker writes as countersign-cf is no word of the platform's for another (${way})`, async () => {
    for (const name of SPELLINGS) {
      const told = await call({ way, url: "http://callee.example/", name });
      assert.equal(told.verified, null);
      assert.deepEqual(ofOurs(told.names), []);
    }
  });
}

test("nor does an origin get it, over HTTP/1.1 and HTTP/2", async () => {
  for (const [origin, version] of [
    [http1, "1.1"],
    [http2, "2.0"],
  ] as const) {
    for (const name of SPELLINGS) {
      const told = await call({ way: "CERT", url: `${origin.url}/`, name });
      assert.equal(told.version, version);
      assert.deepEqual(ofOurs(told.names), []);
    }
  }
});

test("an origin cannot answer in the gateway's name", async () => {
  for (const { url } of [http1, http2]) {
    const told = await call({ way: "CERT", url: `${url}/`, name: "x-any" });
    assert.ok(told.names.some((one) => one.toLowerCase() === "x-any"));
    assert.deepEqual(ofOurs(told.answered), []);
  }
});

function ofOurs(names: readonly string[]): readonly string[] {
  return names.filter((name) => name.toLowerCase().startsWith("countersign-"));
}

async function call(task: { way: string; url: string; name: string }): Promise<Told> {
  const path = `/?task=${encodeURIComponent(JSON.stringify(task))}`;
  const { status, body } = await platform.worker("caller", path);
  assert.equal(status, 200, body);
  return JSON.parse(body) as Told;
}

async function deploy(name: string, source: string, metadata: object): Promise<void> {
  const modules = { "index.js": ["application/javascript+module", source] } as const;
  const form = scriptForm({ compatibility_date: "2026-11-01", ...metadata }, modules);
  const { json } = await platform.api("PUT", `/accounts/{account}/workers/scripts/${name}`, form);
  assert.deepEqual(json.errors, []);
}

type Authority = Awaited<ReturnType<typeof makeAuthority>>;

async function startHttp2Origin(authority: Authority): Promise<TestOrigin> {
  const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const options = { cert: chain, key, ca: authority.pem, requestCert: true };
  const server = createSecureServer(options, (request, response) => {
    const names = request.rawHeaders.filter((_, i) => i % 2 === 0);
    response.setHeader("countersign-failure", "forged");
    response.setHeader("countersign-ray", "0".repeat(16));
    response.end(JSON.stringify({ version: request.httpVersion, names }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://localhost:${port}`,
    port,
    server: server as never,
    subjects: [],
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
