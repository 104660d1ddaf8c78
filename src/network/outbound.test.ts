import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { AddressPolicy } from "./addresses.ts";
import { Outbound, type OutboundOptions } from "./outbound.ts";

const none = { allow: [], deny: [], development: false, denyLocalPorts: [] };

function outbound(options: Partial<typeof none>, resolve?: OutboundOptions["resolve"]): Outbound {
  const policy = new AddressPolicy({ ...none, ...options });
  return new Outbound({ policy, ...(resolve && { resolve }) });
}

async function serve(
  listener: RequestListener,
): Promise<AsyncDisposable & { port: number; server: Server }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    server,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test("loopback is reached in development only, and never the platform's own ports", async () => {
  let requests = 0;
  await using origin = await serve((_, response) => {
    requests += 1;
    response.end("here");
  });
  const url = `http://127.0.0.1:${origin.port}/`;
  await using strict = outbound({});
  for (const one of [
    url,
    url.replace("127.0.0.1", "[::ffff:7f00:1]"),
    url.replace("127.0.0.1", "localhost"),
  ]) {
    await assert.rejects(strict.send(one, { method: "GET" }), /it is loopback/);
  }
  await using open = outbound({ development: true });
  assert.equal((await open.send(url, { method: "GET" })).body.toString(), "here");
  await using own = outbound({ development: true, denyLocalPorts: [origin.port] as never[] });
  await assert.rejects(own.send(url, { method: "GET" }), /platform's own/);
  assert.equal(requests, 1);
});

test("http:// goes only to addresses that an option names", async () => {
  await using strict = outbound({}, toNothing);
  await assert.rejects(
    strict.send("http://hook.example/", { method: "POST" }),
    /goes only to addresses that --origin-allow names/,
  );
  await using named = outbound({ allow: ["192.0.2.0/24"] as never[] }, toNothing);
  // A documentation address: there is nothing.
  const tried = named.send("http://hook.example/", { method: "POST", timeout: 50 });
  await assert.rejects(tried, (error: Error) => !error.message.includes("--origin-allow"));
});

test("a name is resolved once, and what was judged is what is connected to", async () => {
  await using origin = await serve((_, response) => response.end("here"));
  let lookups = 0;
  const resolve = (): Promise<{ address: string; family: number }[]> => {
    lookups += 1;
    const address = lookups === 1 ? "127.0.0.1" : "169.254.169.254";
    return Promise.resolve([{ address, family: 4 }]);
  };
  await using open = outbound({ development: true }, resolve);
  const url = `http://rebinding.example:${origin.port}/`;
  assert.equal((await open.send(url, { method: "GET" })).status, 200);
  assert.equal(lookups, 1);
  await assert.rejects(open.send(url, { method: "GET" }), /link-local/);
});

test("a redirect is an answer, a body has its limit, a silent origin its time", async () => {
  await using origin = await serve((request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/long" }).end();
    else if (request.url === "/long") response.end("x".repeat(100));
  });
  await using open = outbound({ development: true });
  const base = `http://127.0.0.1:${origin.port}`;
  assert.equal((await open.send(`${base}/moved`, { method: "POST" })).status, 302);
  await assert.rejects(
    open.send(`${base}/long`, { method: "GET", maxBytes: 99 }),
    /longer than 99/,
  );
  await assert.rejects(open.send(`${base}/silent`, { method: "GET", timeout: 50 }), {
    name: "TimeoutError",
  });
});

test("a body of the most bytes is taken, and a request is ended by its caller", async () => {
  await using origin = await serve((request, response) => {
    if (request.url === "/long") response.end("x".repeat(100));
  });
  await using open = outbound({ development: true });
  const base = `http://127.0.0.1:${origin.port}`;
  const { body } = await open.send(`${base}/long`, { method: "GET", maxBytes: 100 });
  assert.equal(body.length, 100);
  const caller = new AbortController();
  const sent = open.send(`${base}/silent`, { method: "GET", signal: caller.signal });
  await once(origin.server, "request");
  caller.abort(new Error("not wanted any more"));
  await assert.rejects(sent, /not wanted any more/);
});

test("a name without addresses is reported as such, and an address is not looked up", async () => {
  await using nameless = outbound({}, () => Promise.resolve([]));
  await assert.rejects(
    nameless.send("https://hook.example/", { method: "POST" }),
    /^Error: hook\.example port 443 is not connected to: it has no address$/,
  );
  await using open = outbound({}, () => assert.fail("it was looked up"));
  await assert.rejects(
    open.send("https://[::1]:8443/", { method: "POST" }),
    /^Error: ::1 port 8443 is not connected to: it is loopback$/,
  );
  await assert.rejects(open.send("http://127.0.0.1/", { method: "POST" }), /127\.0\.0\.1 port 80 /);
});

test("https:// goes to any address that is not refused, and each that a name has is tried", async (t) => {
  const { url, authorities, connections } = await secure(t);
  const at = (addresses: readonly string[]): Outbound =>
    outbound({ development: true }, () =>
      Promise.resolve(addresses.map((address) => ({ address, family: 4 }))),
    );
  // Nothing listens at the first one.
  await using both = at(["127.0.0.2", "127.0.0.1"]);
  await using trusting = both.trusting(authorities);
  const answer = await trusting.send(url, { method: "GET" });
  assert.deepEqual([answer.status, String(answer.body)], [200, "1.1"]);
  await assert.rejects(both.send(url, { method: "GET" }), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
  await using strict = outbound({}, () => Promise.resolve([{ address: "192.0.2.1", family: 4 }]));
  const tried = strict.send(url, { method: "GET", timeout: 50 });
  await assert.rejects(tried, (error: Error) => !/not connected to/.test(error.message));
  assert.equal(connections(), 2, "each of its own");
});

test("once it has ended, nothing is sent", async () => {
  const open = outbound({ development: true });
  await open[Symbol.asyncDispose]();
  await assert.rejects(open.send("http://127.0.0.1:1/", { method: "GET" }), {
    code: "UND_ERR_DESTROYED",
  });
});

/** A server of HTTPS that answers with the version of HTTP, for `origin.example`. */
async function secure(
  t: TestContext,
): Promise<{ url: string; authorities: string; connections: () => number }> {
  const authority = await makeAuthority();
  const leaf = await authority.issue({ subject: "CN=origin", dns: ["origin.example"] });
  const server = createSecureServer(
    { cert: leaf.chain, key: leaf.key, allowHTTP1: true },
    (request, response) => response.end(request.httpVersion),
  );
  let connections = 0;
  server.on("connection", () => (connections += 1)).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://origin.example:${port}/`,
    authorities: authority.pem,
    connections: () => connections,
  };
}

/** A documentation address. */
function toNothing(): Promise<{ address: string; family: number }[]> {
  return Promise.resolve([{ address: "192.0.2.1", family: 4 }]);
}

test("slow names of accounts delay no other's, and nobody waits longer than was asked for", async () => {
  const asked: string[] = [];
  await using all = outbound({}, (host) => {
    asked.push(host);
    return host.startsWith("slow") ? new Promise(() => {}) : Promise.resolve([]);
  });
  const ended = new AbortController();
  const { signal } = ended;
  const accounts = [...Array(20).keys()].map(String);
  const slow = accounts.flatMap((account) =>
    [1, 2, 3].map((n) =>
      all.of(account).send(`https://slow${n}.example/`, { method: "GET", signal }),
    ),
  );
  const other = all.of("other").send("https://quick.example/", { method: "GET" });
  await assert.rejects(other, /quick\.example port 443 is not connected to: it has no address/);
  assert.deepEqual(asked, [...accounts.map(() => "slow1.example"), "quick.example"]);
  ended.abort(new Error("given up"));
  for (const one of slow) await assert.rejects(one, /given up/);
});

for (const [what, head, more] of [
  ["informational responses", "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"],
  ["blank lines", "", "\r\n"],
  ["a chunk's extension", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "a"],
] as const) {
  test(`a server that sends ${what} without end is not read to the time-out`, async (t) => {
    const port = await listen(t, (socket) => {
      socket.write(head);
      const flood = Buffer.from(more.repeat(16_384));
      const go = (): void => {
        while (!socket.destroyed && socket.write(flood));
      };
      socket.on("drain", go);
      go();
    });
    await using open = outbound({ development: true });
    const sent = open.send(`http://127.0.0.1:${port}/`, { method: "GET", timeout: 30_000 });
    await assert.rejects(sent, /the answer is longer than 1048576 bytes/);
  });
}

test("a body whose every byte comes by itself is read whole, and takes little memory", async (t) => {
  const length = 50_000;
  const port = await listen(t, (socket) => {
    socket.end(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${"1\r\na\r\n".repeat(length)}0\r\n\r\n`,
    );
  });
  await using open = outbound({ development: true });
  const { body } = await open.send(`http://127.0.0.1:${port}/`, { method: "GET" });
  assert.equal(body.toString(), "a".repeat(length));
  assert.ok(body.buffer.byteLength < 4 * length, `${body.buffer.byteLength} bytes`);
});

async function listen(t: TestContext, answer: (socket: Socket) => void): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {}).once("data", () => answer(socket));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
