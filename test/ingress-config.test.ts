import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as plain, type IncomingMessage, type RequestOptions } from "node:http";
import { request as secure } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it, test, type TestContext } from "node:test";
import { WebSocket } from "ws";
import { countersign } from "./helpers/cli.ts";
import { freePort } from "./helpers/free-port.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { startProxy } from "./helpers/proxies.ts";
import { scriptForm } from "./helpers/script-form.ts";

let folder: string;
let socketPath: string;
let platform: TestPlatform;
let ca: TestAuthority;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-front-"));
  socketPath = join(folder, "shop.sock");
  const args = ["--dev", "--trusted-proxies", "127.0.0.1", "--worker-port", "shop=127.0.0.1:0"];
  platform = await startPlatform({ args: [...args, "--worker-socket", `shop=${socketPath}`] });
  await deploy("one");
  // Only direct clients on this machine may use names below localhost.
  const zone = await platform.api("GET", "/zones?name=shop.example");
  const added = await platform.api("POST", `/zones/${zone.json.result[0].id}/workers/routes`, {
    pattern: "shop.example/*",
    script: "shop",
  });
  assert.equal(added.status, 200, JSON.stringify(added.json));
  ca = await makeAuthority("Acme");
  const { chain, key } = await ca.issue({ subject: "CN=localhost", dns: ["shop.example"] });
  writeFileSync(join(folder, "tls.crt"), chain + key);
  writeFileSync(join(folder, "tls.key"), key);
});

after(async () => {
  await platform[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const WORKER = (version: string): string => `
export default { async fetch(request) {
  if (request.headers.get("upgrade") === "websocket") {
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    server.addEventListener("message", ({ data }) => server.send("back: " + data));
    return new Response(null, { status: 101, webSocket: client });
  }
  return Response.json({ version: ${JSON.stringify(version)}, url: request.url,
    length: (await request.arrayBuffer()).byteLength, headers: Object.fromEntries(request.headers) });
} };`;

async function deploy(version: string): Promise<void> {
  const { api, accountId, token } = platform.ready;
  const response = await fetch(`${api}/accounts/${accountId}/workers/scripts/shop`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: scriptForm(
      { compatibility_date: "2026-11-01" },
      { "index.js": ["application/javascript+module", WORKER(version)] },
    ),
  });
  assert.equal(response.status, 200, await response.text());
}

interface Seen {
  readonly version: string;
  readonly url: string;
  readonly length: number;
  readonly headers: Record<string, string>;
}

type AskOptions = Omit<RequestOptions, "headers"> & {
  readonly headers?: Readonly<Record<string, string>>;
};

async function ask(url: string, options: AskOptions = {}, body = ""): Promise<Seen> {
  const { port, protocol, pathname, search } = new URL(url);
  const all = {
    host: "127.0.0.1",
    port,
    path: pathname + search,
    method: body === "" ? "GET" : "POST",
    agent: false as const,
    ...options,
    headers: { host: `shop.example:${port}`, ...options.headers },
  };
  const sent =
    protocol === "https:" ? secure({ ...all, servername: "shop.example", ca: ca.pem }) : plain(all);
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const answer = await text(response);
  assert.equal(response.statusCode, 200, answer);
  return JSON.parse(answer) as Seen;
}

function print(name: string, ...flags: string[]): ReturnType<typeof countersign> {
  return countersign(["ingress", "config", name, ...flags], { cwd: folder });
}

/** Starts the real server with the printed configuration. @returns its URL */
async function front(
  t: TestContext,
  name: string,
  to: string,
  ...flags: string[]
): Promise<string> {
  const port = await freePort();
  const printed = await print(name, "--to", to, "--listen", `127.0.0.1:${port}`, ...flags);
  assert.equal(printed.status, 0, printed.stderr);
  const url = `${flags.includes("--cert") ? "https" : "http"}://shop.example:${port}`;
  await startProxy(t, folder, { name, configuration: printed.stdout }, () =>
    ask(url).then(
      () => true,
      () => false,
    ),
  );
  return url;
}

const TLS = ["--host", "shop.example", "--cert", "tls.crt", "--key", "tls.key"];
const FORGED = {
  "cf-connecting-ip": "203.0.113.9",
  "cf-ray": "forged",
  "cf-ipcountry": "forged",
  "cf-access-jwt-assertion": "forged",
  "cf-cert-verified": "forged",
  "client-cert": ":Zm9yZ2Vk:",
  "x-forwarded-client-cert": "forged",
  "x-ssl-client-verify": "forged",
  "countersign-cf": "forged",
  "true-client-ip": "203.0.113.9",
  "x-real-ip": "203.0.113.9",
  "x-forwarded-for": "203.0.113.9",
  "x-forwarded-proto": "forged",
  forwarded: "for=203.0.113.9",
};

for (const name of ["nginx", "haproxy", "caddy"]) {
  const absent = spawnSync("which", [name]).status === 0 ? false : `${name} is not installed`;
  describe(`${name} in front`, { skip: absent }, () => {
    it(`${name} passes requests and WebSockets on to a Worker's socket over TLS, and drops what a client forges`, async (t) => {
      const url = await front(t, name, `unix:${socketPath}`, ...TLS);
      const { port } = new URL(url);
      const headers = { ...FORGED, "x-own": "kept" };
      const body = "x".repeat(2_000_000);
      const seen = await ask(`${url}/a%20b?c=%2F`, { headers }, body);
      assert.equal(seen.url, `http://shop.example:${port}/a%20b?c=%2F`);
      assert.equal(seen.length, body.length);
      assert.doesNotMatch(JSON.stringify(seen), /forged|Zm9yZ2Vk|203\.0\.113/);
      assert.equal(seen.headers["x-own"], "kept");
      for (const one of ["cf-connecting-ip", "x-real-ip", "x-forwarded-for"]) {
        assert.equal(seen.headers[one], "127.0.0.1", one);
      }
      assert.equal(seen.headers["x-forwarded-proto"], "https");
      assert.equal(await echo(url), "back: hello");
    });

    it(`${name} tells a Worker's own port the client's address, and drops what a client forges`, async (t) => {
      const own = platform.ready.workers!["shop"]!.find((one) => one.startsWith("http:"))!;
      const url = await front(t, name, own, "--own-port");
      const seen = await ask(url, { headers: FORGED });
      assert.doesNotMatch(JSON.stringify(seen), /forged|Zm9yZ2Vk|203\.0\.113/);
      assert.equal(seen.headers["cf-connecting-ip"], "127.0.0.1");
      assert.equal(seen.headers["cf-ray"], undefined);
      assert.equal(await echo(url), "back: hello");
    });

    it(`${name} loses no request at a Worker's socket while it is deployed three times`, async (t) => {
      const url = await front(t, name, `unix:${socketPath}`);
      const over = new AbortController();
      const failed: string[] = [];
      let answered = 0;
      const client = async (): Promise<void> => {
        const agent = new Agent({ keepAlive: true });
        while (!over.signal.aborted) {
          await ask(url, { agent }).then(
            () => answered++,
            (error: unknown) => failed.push(String(error)),
          );
        }
        agent.destroy();
      };
      const clients = [client(), client(), client()];
      try {
        for (const version of ["two", "three", "four"]) await deploy(`${name} ${version}`);
        assert.equal((await ask(url)).version, `${name} four`);
      } finally {
        over.abort();
        await Promise.all(clients);
      }
      assert.deepEqual(failed, []);
      assert.ok(answered > 30, `${answered}`);
    });

    it(`${name} tells the ingress the client's address and scheme, and passes WebSockets`, async (t) => {
      // The client's address is a trusted proxy's here, so an address that the client itself names would count.
      const url = await front(t, name, platform.ready.http, ...TLS);
      const seen = await ask(`${url}/x`, { headers: FORGED });
      assert.match(seen.url, /^https:\/\/shop\.example/);
      assert.equal(seen.headers["cf-connecting-ip"], "127.0.0.1");
      assert.match(seen.headers["cf-ray"]!, /^[0-9a-f]{16}/);
      assert.equal(seen.headers["cf-access-jwt-assertion"], undefined);
      assert.equal(seen.headers["client-cert"], undefined);
      assert.equal(await echo(url), "back: hello");
    });
  });
}

async function echo(url: string): Promise<string> {
  const { port } = new URL(url);
  const socket = new WebSocket(url.replace("http", "ws"), {
    ca: ca.pem,
    lookup: (_host, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }] as never),
    headers: { host: `shop.example:${port}` },
  });
  await once(socket, "open");
  socket.send("hello");
  const [said] = (await once(socket, "message")) as [Buffer];
  socket.close();
  await once(socket, "close");
  return said.toString();
}

test("values that a server could read as more than a name are refused by name, and nothing is printed", async () => {
  const to = "unix:/run/shop.sock";
  for (const [flags, named] of [
    [["--to", "unix:/run/a;b"], /--to "\/run\/a;b" has an odd character/],
    [["--to", "unix:/run/$host"], /--to "\/run\/\$host" has an odd character/],
    [["--to", "unix:/run/a\nb"], /--to .*has an odd character/],
    [["--to", "unix:run/a"], /is not unix:\/path/],
    [["--to", "tcp://127.0.0.1:1"], /--to is unix:\/path or http/],
    [["--to", to, "--own-port"], /--own-port is for --to http/],
    [["--to", to, "--host", "a b"], /--host \\?"a b\\?" is not a host name/],
    [["--to", to, "--host", "a.example;"], /is not a host name/],
    [["--to", to, "--listen", "0"], /--listen needs a port/],
    [["--to", to, "--listen", "[a}]:80"], /--listen .*odd character/],
    [["--to", to, "--cert", "tls.crt"], /both --cert and --key/],
    [["--to", to, "--cert", "a{b", "--key", "k"], /path of --cert .*odd character/],
  ] as const) {
    const { status, stdout, stderr } = await print("nginx", ...flags);
    assert.equal(status, 1, flags.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, named);
    assert.match(stderr, /ingress_config_malformed/);
  }
});

test("--json gives the name of the file and its content", async () => {
  const flags = ["--to", "unix:/run/shop.sock"];
  const { stdout } = await print("haproxy", ...flags, "--json");
  const said = JSON.parse(stdout) as Record<string, string>;
  assert.deepEqual({ ...said, configuration: (await print("haproxy", ...flags)).stdout }, said);
  assert.deepEqual([said["server"], said["file"]], ["haproxy", "countersign.cfg"]);
  assert.match(said["configuration"]!, /bind 0\.0\.0\.0:80\n/);
});
