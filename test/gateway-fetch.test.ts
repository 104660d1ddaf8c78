import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, edgeCertificate, testGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";

test("a fetch through a binding presents its certificate to a verified origin", async (t) => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject: "CN=client" })),
  );
  await gateway.bind();
  const answer = await ask(gateway.socket(), `${origin.url}/path?query=1`, {
    method: "POST",
    body: "hello",
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json(), {
    subject: "CN=client",
    method: "POST",
    path: "/path?query=1",
    body: "hello",
  });
});
