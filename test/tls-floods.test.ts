import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, edgeCertificate, testGateway } from "./helpers/gateway.ts";
import { startOpenssl, withoutOpenssl } from "./helpers/openssl-server.ts";
import { padded } from "./helpers/padded-client.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";
import { startOrigin } from "./helpers/origin.ts";

test(
  "an origin that sends TLS sessions without end fails its own request, and its connection is closed",
  { skip: withoutOpenssl },
  async (t) => {
    const authority = await makeAuthority();
    const gateway = await testGateway(t);
    await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
    const certificate = await authority.issue({ subject: "CN=client" });
    await gateway.handle.setCertificate(edgeCertificate(certificate));
    await gateway.bind();
    const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const files = { "cert.pem": chain, "key.pem": key };
    const pair = ["-cert", "cert.pem", "-key", "key.pem"];
    for (const alpn of ["h2", "http/1.1"]) {
      const flood = [...pair, "-num_tickets", "100000", "-alpn", alpn];
      const { port } = await startOpenssl(t, files, flood);
      const { headers } = await ask(gateway.socket(), `https://localhost:${port}/`);
      assert.equal(headers["countersign-failure"], "origin_response_malformed", alpn);
    }
    const few = await startOpenssl(t, files, [...pair, "-num_tickets", "100"]);
    assert.equal((await ask(gateway.socket(), `https://localhost:${few.port}/`)).status, 200);
    await using good = await startOrigin({ authority });
    assert.equal((await ask(gateway.socket(), `${good.url}/`)).status, 200);
  },
);

test(
  "a client whose TLS carries next to nothing is cut, at the ingress and at the API",
  { skip: withoutOpenssl },
  async () => {
    await using platform = await startPlatform({
      args: ["--dev", "--https-port", "0", "--https-only"],
    });
    const { https, api } = platform.ready;
    assert.ok(await padded(Number(new URL(https!).port)), "the ingress");
    assert.ok(await padded(Number(new URL(api).port)), "the API");
  },
);
