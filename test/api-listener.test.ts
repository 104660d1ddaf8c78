import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { request as secureRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { checkServerIdentity, type TLSSocket } from "node:tls";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const echo = `export default { fetch(request) {
  return Response.json({ url: request.url, headers: Object.fromEntries(request.headers) });
} };`;

const noPipes = process.platform === "win32" ? "there are no named pipes in folders" : false;

describe("the API over TLS, apart from the Workers, behind proxies that are trusted", () => {
  let platform: TestPlatform;
  let authority: TestAuthority;
  const folder = mkdtempSync(join(tmpdir(), "countersign-api-"));
  const file = (name: string): string => join(folder, name);
  const write = ({ chain, key }: TestCertificate): void => {
    writeFileSync(file("tls.key"), key);
    writeFileSync(file("tls.crt"), chain);
  };
  const issue = (): Promise<TestCertificate> =>
    authority.issue({ subject: "CN=api", dns: ["localhost"], ips: ["127.0.0.1"] });

  before(async () => {
    authority = await makeAuthority("API Test CA");
    writeFileSync(file("ca.pem"), authority.pem);
    write(await issue());
    const tls = ["--api-cert", file("tls.crt"), "--api-key", file("tls.key")];
    platform = await startPlatform({
      args: ["--dev", ...tls, "--trusted-proxies", "127.0.0.1", "10.0.0.0/8"],
    });
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Answered {
    readonly status: number;
    readonly headers: Readonly<Record<string, unknown>>;
    // oxlint-disable-next-line typescript/no-explicit-any
    readonly json: any;
    readonly serial: string;
  }

  const api = (
    path: string,
    {
      method = "GET",
      token = platform.ready.token,
      headers = {},
      body,
    }: {
      method?: string;
      token?: string;
      headers?: Record<string, string>;
      body?: unknown;
    } = {},
  ): Promise<Answered> =>
    new Promise((resolve, reject) => {
      const url = new URL(path, platform.ready.api);
      secureRequest(
        url,
        {
          method,
          ca: authority.pem,
          // Verified for the address, because Node would verify the name in `Host`.
          checkServerIdentity: (_, certificate) => checkServerIdentity("127.0.0.1", certificate),
          agent: false,
          headers: { authorization: `Bearer ${token}`, ...headers },
        },
        (response) => {
          const serial = (response.socket as TLSSocket).getPeerCertificate().serialNumber;
          resolve(
            textOf(response).then((text) => ({
              status: response.statusCode ?? 0,
              headers: response.headers,
              json: (text.startsWith("{") ? JSON.parse(text) : text) as unknown,
              serial,
            })),
          );
        },
      )
        .on("error", reject)
        .end(body === undefined ? undefined : JSON.stringify(body));
    });

  it("is where `env` and wrangler find it, and wrangler deploys there", async () => {
    assert.match(platform.ready.api, /^https:\/\/127\.0\.0\.1:\d+\/client\/v4$/);
    const env = await countersign(["env", "--data", platform.dataFolder, "--json"]);
    assert.equal(JSON.parse(env.stdout).CLOUDFLARE_API_BASE_URL, platform.ready.api);
    await using project = await wranglerProject(platform.ready, {
      "index.js": echo,
      "wrangler.json": { name: "echo", main: "index.js", compatibility_date: "2026-01-01" },
    });
    const run = await project.run(["deploy"], { env: { NODE_EXTRA_CA_CERTS: file("ca.pem") } });
    assert.equal(run.exitCode, 0, run.output);
    assert.equal((await platform.worker("echo")).status, 200);
  });

  it("a renewed certificate is followed, a broken one never replaces a good one", async () => {
    writeFileSync(file("tls.crt"), "half");
    await until(() => platform.log().includes("the API keeps its certificate"));
    const renewed = await issue();
    const serial = renewed.x509.serialNumber.toUpperCase();
    assert.notEqual((await api("/client/v4/user")).serial, serial);
    write(renewed);
    await until(async () => (await api("/client/v4/user")).serial === serial);
  });

  it("a named pipe in the place of a file holds nothing up", { skip: noPipes }, async () => {
    rmSync(file("tls.crt"));
    makePipe(file("tls.crt"));
    await until(() => platform.log().includes("it is no file"));
    const renewed = await issue();
    rmSync(file("tls.crt"));
    write(renewed);
    const serial = renewed.x509.serialNumber.toUpperCase();
    await until(async () => (await api("/client/v4/user")).serial === serial);
  });

  it("signing in stays on https at the platform's own name, whatever Host says", async () => {
    const query = new URLSearchParams({
      response_type: "code",
      client_id: "countersign-wrangler",
      redirect_uri: "http://localhost:8976/oauth/callback",
      scope: "account:read",
      state: "s",
      code_challenge: "a".repeat(43),
      code_challenge_method: "S256",
    });
    const begun = await api(`/oauth2/auth?${query.toString()}`, {
      headers: {
        host: "evil.example",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http",
      },
    });
    assert.equal(begun.status, 303);
    const cookies = begun.headers["set-cookie"] as string[];
    assert.ok(cookies.length > 0);
    for (const cookie of cookies) assert.match(cookie, /; secure/i);
    assert.doesNotMatch(JSON.stringify(begun.headers), /evil|http:\/\//);
  });

  it("a token's addresses, and the audit log's, are the client's own", async () => {
    const account = platform.ready.accountId;
    const made = await api("/client/v4/user/tokens", {
      method: "POST",
      headers: { "x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.1.1.1" },
      body: {
        name: "there",
        policies: [
          {
            effect: "allow",
            permission_groups: [{ id: "1a71c399035b4950a1bd1466bbe4f420" }],
            resources: { [`com.cloudflare.api.account.${account}`]: "*" },
          },
        ],
        condition: { request_ip: { in: ["203.0.113.0/24"] } },
      },
    });
    assert.equal(made.status, 200, JSON.stringify(made.json));
    const scripts = `/client/v4/accounts/${account}/workers/scripts`;
    const from = async (address: string): Promise<number> =>
      (
        await api(scripts, {
          token: made.json.result.value,
          headers: { "x-forwarded-for": address },
        })
      ).status;
    assert.equal(await from("203.0.113.77"), 200);
    assert.equal(await from("203.0.113.77, 198.51.100.1"), 403);
    const log = await api(`/client/v4/accounts/${account}/audit_logs`);
    assert.match(JSON.stringify(log.json.result[0]), /"203\.0\.113\.9"/);
  });

  const worker = async (bytes: string | Buffer): Promise<{ status: number; seen: Seen }> => {
    const { port } = new URL(platform.ready.http);
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(bytes);
    const text = await textOf(socket);
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
    const body = /\{"url".*\}/s.exec(text)?.[0];
    return { status, seen: body === undefined ? ({} as Seen) : (JSON.parse(body) as Seen) };
  };
  interface Seen {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
  }

  it("a Worker is told of the client that the proxy names, and of its scheme", async () => {
    const route = { pattern: "echo.example/*", script: "echo" };
    const zone = await api("/client/v4/zones?name=echo.example");
    const added = await api(`/client/v4/zones/${zone.json.result[0].id}/workers/routes`, {
      method: "POST",
      body: route,
    });
    assert.equal(added.status, 200, JSON.stringify(added.json));
    const { seen } = await worker(
      get(["X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"]),
    );
    assert.equal(seen.headers["cf-connecting-ip"], "203.0.113.9");
    assert.equal(seen.headers["x-real-ip"], "203.0.113.9");
    assert.equal(seen.headers["cf-visitor"], '{"scheme":"https"}');
    assert.equal(seen.url, "https://echo.example/a");
  });

  it("or that the PROXY protocol names, version 1 and 2", async () => {
    const one = await worker(`PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n${get()}`);
    assert.equal(one.seen.headers["cf-connecting-ip"], "203.0.113.9");
    const header = "0d0a0d0a000d0a515549540a2111000ccb00710a0a00000112670050";
    const two = await worker(Buffer.concat([Buffer.from(header, "hex"), Buffer.from(get())]));
    assert.equal(two.seen.headers["cf-connecting-ip"], "203.0.113.10");
    const forged = await worker(
      `PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n${get(["X-Forwarded-For: 127.0.0.1"])}`,
    );
    assert.equal(forged.seen.headers["cf-connecting-ip"], "203.0.113.9", "it is no proxy itself");
    assert.equal((await worker("PROXY TCP4 nonsense\r\n\r\n")).status, 0);
  });
});

describe("an API in plain HTTP", () => {
  it("does not listen on a network unless that is asked for by its name, and then says so", async () => {
    assert.match(
      await refused("--api-host", "0.0.0.0"),
      /would listen on 0\.0\.0\.0 in plain HTTP/,
    );
    await using platform = await startPlatform({
      args: ["--api-host", "0.0.0.0", "--unsafe-plain-api"],
    });
    await until(() => /✘ The API at http:\S+ is plain HTTP on a network/.test(platform.log()));
  });

  it("is not served with half a pair, or with files that are missing", async () => {
    assert.match(await refused("--api-cert", "tls.crt"), /given together/);
    const missing = await refused("--api-cert", "no.crt", "--api-key", "no.key");
    assert.match(missing, /the API cannot be served with "no\.crt" and "no\.key"/);
  });

  it("nor does its start wait for a named pipe", { skip: noPipes }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-pipe-"));
    const pipe = join(folder, "tls.crt");
    makePipe(pipe);
    assert.match(await refused("--api-cert", pipe, "--api-key", pipe), /it is no file/);
    rmSync(folder, { recursive: true });
  });
});

function makePipe(path: string): void {
  execFileSync("mkfifo", [path]);
}

function get(headers: readonly string[] = []): string {
  return ["GET /a HTTP/1.1", "Host: echo.example", "Connection: close", ...headers, "", ""].join(
    "\r\n",
  );
}

async function refused(...args: string[]): Promise<string> {
  const data = mkdtempSync(join(tmpdir(), "countersign-api-"));
  const ports = ["--api-port", "0", "--http-port", "0"];
  const run = await countersign(["start", "--data", data, ...ports, ...args]);
  rmSync(data, { recursive: true, force: true });
  assert.notEqual(run.status, 0);
  return run.stderr;
}
