import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2, createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let authority: TestAuthority;
let edge: TestEdge;
const certificateId = randomUUID();
before(async () => {
  authority = await makeAuthority();
  const { key, chain } = await authority.issue({ subject: "CN=default", dns: ["*.localhost"] });
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { key, chain } },
    // Two slots: the third request shows a leaked slot.
    gateway: { logLevel: "silent", addresses: { development: true }, connections: 2 },
  });
  await edge.edge.applied(
    edge.source.setTrust({ authorities: [authority.pem], hosts: {}, proxied: [] }),
  );
  await edge.edge.applied(edge.source.setCertificate(await clientCertificate()));
});
after(() => edge[Symbol.asyncDispose]());

async function clientCertificate(): Promise<CertificateVersion> {
  const owner = { masterKey: MASTER_KEY, accountId: ACCOUNT, certificateId };
  return sealedCertificate(await authority.issue({ subject: "CN=client" }), owner);
}

/** What an origin has seen of its uploads. */
interface Seen {
  begun: number;
  brokenOff: number;
  whole: number;
}

const origins: Record<string, (seen: Seen) => Promise<AsyncDisposable & { url: string }>> = {
  "HTTP/1.1": (seen) =>
    startOrigin({
      authority,
      handler: (request, response) => {
        request.once("data", () => (seen.begun += 1)).resume();
        request.on("error", () => (seen.brokenOff += 1));
        request.on("end", () => {
          seen.whole += 1;
          response.end("whole");
        });
      },
    }),
  "HTTP/2": async (seen) => {
    const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const server = createSecureServer({ key, cert: chain });
    server.on("stream", (http2Stream) => {
      const stream = http2Stream as ServerHttp2Stream;
      stream.on("error", () => {}).once("data", () => (seen.begun += 1));
      stream.once("aborted", () => (seen.brokenOff += 1)).resume();
      stream.once("end", () => {
        if (stream.aborted || stream.destroyed) return;
        seen.whole += 1;
        stream.respond({ ":status": 200 });
        stream.end("whole");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
      url: `https://localhost:${(server.address() as AddressInfo).port}`,
      [Symbol.asyncDispose]: async () => void server.close(),
    };
  },
};

function anyName(): undefined {
  return undefined;
}

/** Each begins an upload that never ends, and returns a function that aborts it. */
const clients: Record<string, (host: string) => () => void> = {
  "HTTP/1.1": (host) => {
    const { httpPort: port } = edge.edge;
    const headers = { host: `${host}:${port}` };
    const request = httpRequest({ host: "127.0.0.1", port, method: "POST", headers, agent: false });
    request.on("error", () => {}).write("begun");
    return () => request.destroy();
  },
  "HTTP/2": (host) => {
    const port = Number(new URL(edge.edge.httpsUrl!).port);
    const tls = { port, servername: host, ca: authority.pem, checkServerIdentity: anyName };
    const session = connectHttp2(`https://${host}:${port}`, {
      createConnection: () => connectTls({ host: "127.0.0.1", ...tls, ALPNProtocols: ["h2"] }),
    });
    session.on("error", () => {});
    const stream = session.request({ ":authority": `${host}:${port}`, ":method": "POST" });
    stream.on("error", () => {}).write("begun");
    return () => {
      stream.destroy(new Error("gone"));
      session.close();
    };
  },
};

for (const [above, begin] of Object.entries(clients)) {
  for (const [below, start] of Object.entries(origins)) {
    test(`a client that goes away in its upload over ${above} breaks it off at an origin of ${below}`, async () => {
      const seen: Seen = { begun: 0, brokenOff: 0, whole: 0 };
      await using origin = await start(seen);
      const name = `to-${above}-${below}`.toLowerCase().replaceAll(/[/.]/g, "-");
      await edge.stageAndDeploy(
        makeVersion(
          name,
          `export default { fetch: ({ method, body }, env) =>
            env.CERT.fetch(${JSON.stringify(origin.url)}, { method, body }) };`,
          [{ type: "mtls_certificate", name: "CERT", certificateId }],
        ),
      );
      const host = `${name}.localhost`;
      for (let round = 1; round <= 2; round += 1) {
        const breakOff = [1, 2].map(() => begin(host));
        await until(() => seen.begun === round * 2);
        for (const one of breakOff) one();
        await until(() => seen.brokenOff === round * 2);
      }
      assert.equal(seen.whole, 0, "a cut upload is no whole one");
      const { pid } = edge.worker(name);
      const answers = await Promise.all(
        [1, 2, 3, 4].map(() => edge.fetch(host, "/", { method: "POST", body: "whole" })),
      );
      assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["whole"]));
      assert.equal(edge.worker(name).pid, pid);
    });
  }
}
