import assert from "node:assert/strict";
import { connect, type AddressInfo } from "node:net";
import { test } from "node:test";
import { createServer } from "node:tls";
import * as fc from "fast-check";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority } from "./helpers/pki.ts";

const RUNS = Number(process.env["COUNTERSIGN_FUZZ_RUNS"] ?? 150);

/** An exchange that never ends is a failure too. */
const PATIENT = { timeout: 90_000 };

test(
  "the gateway keeps running, whatever an origin answers and a Worker asks",
  PATIENT,
  async (t) => {
    const authority = await makeAuthority();
    const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    let answer: Buffer = Buffer.alloc(0);
    const origin = createServer({ cert: chain, key }, (socket) => {
      socket.on("error", () => {}).once("data", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
    t.after(() => origin.close());
    const url = `https://localhost:${(origin.address() as AddressInfo).port}`;
    const gateway = await testGateway(t);
    await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
    await gateway.handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=c" })),
    );
    await gateway.bind();

    await fc.assert(
      fc.asyncProperty(response, async (text) => {
        answer = Buffer.from(text, "latin1");
        await ask(gateway.socket(), `${url}/`).catch(isCut);
        return gateway.handle.status().restarts === 0;
      }),
      { numRuns: RUNS },
    );
    answer = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    await fc.assert(
      fc.asyncProperty(request(url), async (text) => {
        await send(gateway, text);
        return gateway.handle.status().restarts === 0;
      }),
      { numRuns: RUNS },
    );
    assert.equal((await ask(gateway.socket(), `${url}/`)).status, 200);
  },
);

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});
const header = fc.oneof(
  fc.constantFrom(
    "content-length: 0",
    "content-length: 5",
    "content-length: 99999999999999999999",
    "transfer-encoding: chunked",
    "connection: close, x-a, content-length",
    "connection: upgrade\r\nupgrade: websocket",
    "set-cookie: a=1",
    "trailer: x",
    "__proto__: x",
  ),
  fc.tuple(latin1, latin1).map(([name, value]) => `x-${name}: ${value}`),
);
const response = fc
  .tuple(
    fc.constantFrom("HTTP/1.1 ", "HTTP/1.0 ", "HTTP/2 ", ""),
    fc.oneof(
      fc.constantFrom("200", "204", "304", "100", "101", "103", "099", "000", "999", "600"),
      latin1,
    ),
    latin1,
    fc.array(header, { maxLength: 4 }),
    fc.oneof(
      fc.constantFrom("", "hello", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nx-a: 1\r\n\r\n"),
      latin1,
    ),
  )
  .map(([version, status, text, headers, body]) =>
    [`${version}${status} ${text}`, ...headers, "", body].join("\r\n"),
  );

function request(url: string): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.constantFrom("GET", "POST", "HEAD", "CONNECT", "OPTIONS", "PRI", "QUERY"),
      fc.oneof(
        fc.constantFrom(
          `${url}/`,
          url,
          `${url}?a`,
          "/",
          "*",
          "https://",
          "https://a@b",
          "https://[::1",
          "localhost:1",
          "://",
          "",
        ),
        latin1,
        latin1.map((text) => `${url}/${text}`),
        latin1.map((text) => `https://${text}/`),
      ),
      fc.array(header, { maxLength: 4 }),
      latin1,
    )
    .map(([method, target, headers, body]) =>
      [`${method} ${target} HTTP/1.1`, ...headers, "", body].join("\r\n"),
    );
}

/** Sends bytes. Resolves when an answer comes, the connection ends, or no answer can come. */
function send(gateway: TestGateway, text: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(gateway.socket());
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve();
    };
    // A request whose body never ends gets no answer, so leaving in the middle is one of the cases.
    const timer = setTimeout(done, 30);
    socket.on("error", done).on("close", done).once("data", done);
    socket.write(text, "latin1");
  });
}

function isCut(error: NodeJS.ErrnoException): void {
  assert.ok(error.code === "ECONNRESET" || error.code?.startsWith("HPE_"), String(error));
}
