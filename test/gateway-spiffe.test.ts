import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { ask, edgeCertificate, testGateway } from "./helpers/gateway.ts";
import {
  makeAuthority,
  type IssueOptions,
  type TestAuthority,
  type TestCertificate,
} from "./helpers/pki.ts";

const orders = "spiffe://mesh.test/ns/prod/sa/orders";

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${maxVersion} a host that is known by a SPIFFE ID is verified by it before our certificate is shown`, async (t) => {
    const [mesh, other, web] = await Promise.all([
      makeAuthority("Mesh"),
      makeAuthority("Other mesh"),
      makeAuthority("Web"),
    ]);
    const asked = async (server: TestCertificate): Promise<[string | number, number]> => {
      const { port, presented } = await serve(t, server, web, maxVersion);
      const gateway = await testGateway(t, {});
      await gateway.handle.setTrust("a", {
        authorities: [web.pem],
        hosts: { localhost: [web.pem] },
        proxied: [],
        spiffe: {
          localhost: [
            { authority: mesh.pem, ids: ["spiffe://mesh.test/ns/prod/sa/*"] },
            { authority: other.pem, ids: ["spiffe://other.test/**"] },
          ],
        },
      });
      await gateway.handle.setCertificate(edgeCertificate(await web.issue({ subject: "CN=us" })));
      await gateway.bind();
      const answer = await ask(gateway.socket(), `https://localhost:${port}/`);
      return [String(answer.headers["countersign-failure"] ?? answer.status), presented.length];
    };
    const intermediate = await mesh.intermediate("Between");
    const wrong = "origin_certificate_wrong_spiffe_id";
    for (const [server, outcome] of [
      [await issue(mesh, { uris: [orders] }), "200"],
      [await issue(intermediate, { uris: [orders] }), "200"],
      [await issue(other, { uris: ["spiffe://other.test/ns/a/sa/b"] }), "200"],
      [await issue(mesh, { uris: ["spiffe://mesh.test/ns/dev/sa/orders"] }), wrong],
      [await issue(mesh, { uris: [`${orders}/below`] }), wrong],
      [await issue(mesh, { uris: [orders, "https://x.test/"] }), wrong],
      [await issue(mesh, { dns: ["localhost"] }), wrong],
      // A mesh's CA does not vouch for another mesh's servers.
      [await issue(other, { uris: [orders] }), wrong],
      // The host's name does not count either, from a CA that is trusted for other hosts.
      [await issue(web, { dns: ["localhost"] }), "origin_certificate_unknown_ca"],
      [await issue(web, { dns: ["localhost"], uris: [orders] }), "origin_certificate_unknown_ca"],
    ] as const) {
      assert.deepEqual(await asked(server), [outcome, outcome === "200" ? 1 : 0]);
    }
  });
}

function issue(by: TestAuthority, options: Partial<IssueOptions>): Promise<TestCertificate> {
  return by.issue({ subject: "CN=server", ...options });
}

/** An origin that records the certificates that it was shown. */
async function serve(
  t: TestContext,
  { chain, key }: TestCertificate,
  clients: TestAuthority,
  maxVersion: "TLSv1.2" | "TLSv1.3",
): Promise<{ port: number; presented: string[] }> {
  const presented: string[] = [];
  const server = createServer(
    { cert: chain, key, ca: clients.pem, requestCert: true, maxVersion },
    (socket: TLSSocket) => {
      presented.push(socket.getPeerX509Certificate()?.subject ?? "");
      socket.on("error", () => {});
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    },
  );
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, presented };
}
