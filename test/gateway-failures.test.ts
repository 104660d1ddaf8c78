import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { after, before, suite, test, type TestContext } from "node:test";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import * as x509 from "../src/certificates/x509.ts";
import { failures, type FailureCode } from "../src/failures/failures.ts";
import {
  ask,
  edgeCertificate,
  testGateway,
  type Answer,
  type TestGateway,
} from "./helpers/gateway.ts";
import { startOpenssl, withoutOpenssl } from "./helpers/openssl-server.ts";
import { startOrigin } from "./helpers/origin.ts";
import { until } from "./helpers/until.ts";
import { makeAuthority, selfSigned, type IssueOptions, type TestAuthority } from "./helpers/pki.ts";

const HOUR = 3_600_000;
const localhost: IssueOptions = { subject: "CN=localhost", dns: ["localhost"] };

const refusals: {
  alert: number;
  code: FailureCode;
  client?: Partial<IssueOptions>;
  ca?: "other";
  args?: string[];
}[] = [
  {
    alert: 42,
    code: "origin_refused_certificate_bad",
    client: { algorithm: "RSA-2048" },
    args: ["-cipher", "DEFAULT:@SECLEVEL=3"],
  },
  { alert: 43, code: "origin_refused_certificate_unsupported", client: { usages: ["serverAuth"] } },
  {
    alert: 44,
    code: "origin_refused_certificate_revoked",
    args: ["-CRL", "crl.pem", "-crl_check"],
  },
  {
    alert: 45,
    code: "origin_refused_certificate_expired",
    args: ["-attime", String(Date.UTC(2100, 0) / 1000)],
  },
  {
    alert: 46,
    code: "origin_refused_certificate_unknown",
    client: {
      extensions: [new x509.Extension("1.3.6.1.4.1.55555.1", true, new Uint8Array([5, 0]))],
    },
  },
  { alert: 48, code: "origin_refused_certificate_ca", ca: "other" },
  {
    alert: 116,
    code: "origin_refused_certificate_required",
    client: { algorithm: "Ed25519" },
    args: ["-client_sigalgs", "ECDSA+SHA256"],
  },
];

suite("each failure names itself, its cause and what to do", () => {
  let gateway: TestGateway;
  let authority: TestAuthority;

  const cleanups: (() => unknown)[] = [];
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  before(async () => {
    authority = await makeAuthority();
    const cleaner = { after: (cleanup = (): unknown => null) => void cleanups.push(cleanup) };
    gateway = await testGateway(cleaner as Pick<TestContext, "after">, {
      timeouts: { dns: 2_000, connect: 300, handshake: 300, headers: 300, body: 300 },
      addresses: { deny: ["192.0.2.0/24"] },
    });
    await gateway.handle.setTrust("a", {
      authorities: [authority.pem],
      hosts: {},
      proxied: ["*.proxied.example"],
    });
    await gateway.handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=client" })),
    );
    await gateway.bind();
  });

  async function expectFailure(
    url: string,
    code: FailureCode,
    message: RegExp,
    binding = "CERT",
  ): Promise<Answer> {
    const answer = await ask(gateway.socket({ bindingName: binding }), url);
    assert.equal(answer.headers["countersign-failure"], code, answer.text);
    assert.equal(answer.status, failures[code].status);
    const { error } = answer.json();
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.equal(error.cause, failures[code].cause);
    assert.equal(error.side, failures[code].side);
    assert.ok(error.fix.length > 0);
    return answer;
  }

  test("the URL is http://", async () => {
    await expectFailure("http://localhost/", "origin_http_refused", /"http:\/\/localhost"/);
  });

  test("the URL is none", async () => {
    await expectFailure("https://", "origin_request_malformed", /is not an absolute URL/);
  });

  test("the host is in a proxied zone", async () => {
    await expectFailure(
      "https://a.proxied.example/",
      "origin_zone_proxied",
      /"a\.proxied\.example"/,
    );
  });

  test("the name does not resolve", async () => {
    await expectFailure("https://nothing.invalid/", "origin_name_not_found", /"nothing\.invalid"/);
  });

  test("the address is denied", async () => {
    await expectFailure("https://192.0.2.7/", "origin_address_refused", /192\.0\.2\.7.*deny list/);
    await expectFailure("https://169.254.169.254/", "origin_address_refused", /metadata/);
  });

  test("the origin refuses the connection", async (t) => {
    const server = createTcpServer();
    const port = await listen(t, server);
    server.close();
    await once(server, "close");
    await expectFailure(`https://localhost:${port}/`, "origin_refused", /ECONNREFUSED/);
  });

  test("the origin does not accept the connection in time", async (t) => {
    const port = await fullServer(t);
    await expectFailure(`https://127.0.0.1:${port}/`, "origin_connect_timeout", /within 300 ms/);
  });

  test("the origin does not shake hands in time", async (t) => {
    const port = await listen(
      t,
      createTcpServer((socket) => socket.on("error", () => {})),
    );
    await expectFailure(`https://localhost:${port}/`, "origin_handshake_timeout", /within 300 ms/);
  });

  test("the origin resets the connection in the handshake", async (t) => {
    const port = await listen(
      t,
      createTcpServer((socket) =>
        socket.on("error", () => {}).once("data", () => socket.resetAndDestroy()),
      ),
    );
    await expectFailure(`https://localhost:${port}/`, "origin_handshake_reset", /ECONNRESET/);
  });

  test("the origin speaks no TLS", async (t) => {
    const port = await listen(t, createHttpServer());
    await expectFailure(
      `https://localhost:${port}/`,
      "origin_not_tls",
      /TLS handshake with localhost/,
    );
  });

  test("the origin speaks only an old TLS", async (t) => {
    const port = await tlsServer(t, {
      ...(await keyOf(localhost)),
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await expectFailure(`https://localhost:${port}/`, "origin_protocol_version", /TLS handshake/);
  });

  test("the origin has no group in common", async (t) => {
    const port = await tlsServer(t, { ...(await keyOf(localhost)), ecdhCurve: "brainpoolP256r1" });
    await expectFailure(`https://localhost:${port}/`, "origin_no_shared_cipher", /TLS handshake/);
  });

  for (const [what, code, options, message] of [
    [
      "has expired",
      "origin_certificate_expired",
      { notBefore: new Date(Date.now() - 3 * HOUR), notAfter: new Date(Date.now() - HOUR) },
      /has expired: it is valid until \d{4}-/,
    ],
    [
      "is not yet valid",
      "origin_certificate_not_yet_valid",
      { notBefore: new Date(Date.now() + HOUR) },
      /is not yet valid: it is valid from \d{4}-/,
    ],
    [
      "is for other names",
      "origin_certificate_wrong_name",
      { dns: ["a.example", "b.example"] },
      /is not for "localhost" but for DNS:a\.example, DNS:b\.example/,
    ],
    [
      "is for clients only",
      "origin_certificate_invalid",
      { usages: ["clientAuth"] },
      /INVALID_PURPOSE/,
    ],
  ] as [string, FailureCode, Partial<IssueOptions>, RegExp][]) {
    test(`the origin's certificate ${what}`, async (t) => {
      const port = await tlsServer(t, await keyOf({ ...localhost, ...options }));
      const answer = await expectFailure(`https://localhost:${port}/`, code, message);
      assert.equal(answer.json().error.origin.subject, "CN=localhost");
    });
  }

  test("the origin's certificate comes from an unknown CA", async (t) => {
    const other = await makeAuthority("Other Root");
    const { chain, key } = await other.issue(localhost);
    const port = await tlsServer(t, { cert: chain, key });
    await expectFailure(
      `https://localhost:${port}/`,
      "origin_certificate_unknown_ca",
      /issued by CN=Other Root, which is not trusted here/,
    );
  });

  test("the origin's certificate is self-signed", async (t) => {
    const { chain, key } = await selfSigned("localhost");
    const port = await tlsServer(t, { cert: chain, key });
    await expectFailure(
      `https://localhost:${port}/`,
      "origin_certificate_self_signed",
      /self-signed/,
    );
  });

  test("the origin closes at the first read: Node's way to refuse a certificate", async () => {
    await using origin = await startOrigin({ authority, tls: { ca: (await makeAuthority()).pem } });
    const answer = await expectFailure(
      `${origin.url}/`,
      "origin_closed_first_read",
      /closed the connection after it got our certificate/,
    );
    assert.equal(answer.json().error.certificateId, "c");
    assert.equal(origin.subjects.length, 0);
  });

  test("the origin closes without an answer, and had asked for no certificate", async (t) => {
    const port = await tlsServer(t, await keyOf(localhost), (socket) => {
      socket.once("data", () => socket.destroy());
    });
    await expectFailure(`https://localhost:${port}/`, "origin_closed", /without an answer/);
  });

  test("the origin closes in the middle of its answer, which the log says", async (t) => {
    const port = await tlsServer(t, await keyOf(localhost), (socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        setTimeout(() => socket.destroy(), 50);
      });
    });
    await assert.rejects(ask(gateway.socket(), `https://localhost:${port}/`));
    const said = /the origin closed the connection in the middle of its answer/;
    await until(() =>
      gateway.events.some((event) => event.kind === "failure" && said.test(event.message)),
    );
  });

  test("the origin does not speak HTTP", async (t) => {
    const port = await tlsServer(t, await keyOf(localhost), (socket) => {
      socket.once("data", () => socket.write("220 mail.example ESMTP\r\n"));
    });
    await expectFailure(
      `https://localhost:${port}/`,
      "origin_response_malformed",
      /HTTPParserError|HPE_/,
    );
  });

  for (const coding of [
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "br\r\ntransfer-encoding: chunked",
  ]) {
    test(`the origin codes its body for the way: ${JSON.stringify(coding)}`, async (t) => {
      const port = await tlsServer(t, await keyOf(localhost), (socket) => {
        const head = `HTTP/1.1 200 OK\r\ntransfer-encoding: ${coding}\r\nconnection: close\r\n\r\n`;
        socket.once("data", () => socket.end(`${head}4\r\nnope\r\n0\r\n\r\n`));
      });
      await expectFailure(
        `https://localhost:${port}/`,
        "origin_response_malformed",
        /ERR_TRANSFER_CODING|HPE_/,
      );
    });
  }

  test("a body that is said to be coded as it is passes", async (t) => {
    const port = await tlsServer(t, await keyOf(localhost), (socket) => {
      const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\nconnection: close\r\n\r\n";
      socket.once("data", () => socket.end(`${head}whole`));
    });
    const { status, text } = await ask(gateway.socket(), `https://localhost:${port}/`);
    assert.deepEqual([status, text], [200, "whole"]);
  });

  test("the origin's response header is too large", async (t) => {
    const port = await tlsServer(t, await keyOf(localhost), (socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nx-large: ${"x".repeat(140_000)}\r\n\r\n`);
      });
    });
    await expectFailure(
      `https://localhost:${port}/`,
      "origin_headers_too_large",
      /UND_ERR_HEADERS_OVERFLOW/,
    );
  });

  test("the origin does not answer in time", async () => {
    await using origin = await startOrigin({ authority, handler: () => {} });
    await expectFailure(`${origin.url}/`, "origin_headers_timeout", /in time/);
  });

  test("the origin stops in the middle of its response: the Worker's read fails too", async () => {
    await using origin = await startOrigin({
      authority,
      handler: (_, response) => response.write("half"),
    });
    await assert.rejects(ask(gateway.socket(), `${origin.url}/`), { code: "ECONNRESET" });
  });

  for (const { alert, code, client, args, ca } of refusals) {
    test(
      `the origin refuses the certificate with alert ${alert}`,
      { skip: withoutOpenssl },
      async (t) => {
        const server = await authority.issue(localhost);
        const certificate = await authority.issue({ subject: "CN=client", ...client });
        const trusted = ca === "other" ? await makeAuthority("Other Root") : authority;
        const { port } = await startOpenssl(
          t,
          {
            "chain.pem": server.chain,
            "key.pem": server.key,
            "ca.pem": trusted.pem,
            "crl.pem": await authority.revoke([certificate]),
          },
          [
            "-cert",
            "chain.pem",
            "-key",
            "key.pem",
            "-CAfile",
            "ca.pem",
            "-Verify",
            "5",
            "-verify_return_error",
            ...(args ?? []),
          ],
        );
        const id = { certificateId: `c${alert}` };
        await gateway.handle.setCertificate(edgeCertificate(certificate, id));
        await gateway.bind({ bindingName: `C${alert}`, ...id });
        const answer = await expectFailure(
          `https://localhost:${port}/`,
          code,
          new RegExp(`alert ${alert}`),
          `C${alert}`,
        );
        const { error } = answer.json();
        assert.equal(error.alert, alert);
        assert.deepEqual(error.acceptedAuthorities, [trusted.certificate.subject]);
        assert.match(error.message, /it accepts certificates of CN=/);
      },
    );
  }

  async function keyOf(options: IssueOptions): Promise<{ cert: string; key: string }> {
    const { chain, key } = await authority.issue(options);
    return { cert: chain, key };
  }
});

async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<import("node:net").Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

function tlsServer(
  t: TestContext,
  options: TlsOptions,
  listener: (socket: import("node:tls").TLSSocket) => void = () => {},
): Promise<number> {
  const server = createTlsServer(options, (socket) => {
    socket.on("error", () => {});
    listener(socket);
  });
  server.on("tlsClientError", () => {});
  return listen(t, server);
}

/** A port whose queue of connections is full, so the kernel drops further packets. */
async function fullServer(t: TestContext): Promise<number> {
  const child = spawn(process.execPath, ["-e", BLOCKED], { stdio: ["ignore", 2, 2, "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  const [port] = (await once(child, "message")) as [number];
  for (;;) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    t.after(() => socket.destroy());
    const full = await Promise.race([
      once(socket, "connect").then(() => false),
      // After handling events of connections, because this process may have been suspended.
      new Promise<boolean>((resolve) => setTimeout(() => setImmediate(resolve, true), 200)),
    ]);
    if (full) return port;
  }
}

const BLOCKED = `
  const server = require("node:net").createServer();
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    process.send(server.address().port, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  });
`;
