import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect } from "node:tls";
import { mtls, mtlsOrigin } from "./mtls.ts";
import { strayBindings } from "./session.ts";

const project = mkdtempSync(join(tmpdir(), "check-options-"));
after(() => rmSync(project, { recursive: true }));

const slips: readonly (readonly [what: string, call: () => Promise<unknown>, said: RegExp])[] = [
  // oxlint-disable-next-line typescript/no-explicit-any
  ["mtls() of nothing", () => (mtls as any)(), /mtls\(\)/],
  ["mtls() of a name", () => mtls("MY_CERT" as never), /mtls\(\)/],
  ["mtls() of a list", () => mtls(["MY_CERT"] as never), /mtls\(\)/],
  [
    "countersign.json's own shape",
    () => mtls({ A: { certificate: { cert: "a.pem" } } } as never),
    /mtls\(\) A has no "certificate"/,
  ],
  ["certt", () => mtls({ A: { certt: "a.pem" } } as never), /did you mean "cert"\?/],
  ["a key alone", () => mtls({ A: { key: "a.pem" } }), /give `cert` as well/],
  ["enviroment", () => mtls({}, { enviroment: "x" } as never), /did you mean "environment"\?/],
  ["a host that is none", () => mtls({}, { hosts: { "a b": {} } } as never), /hosts a b/],
  ["a port as an origin", () => mtls({}, { hosts: { "a.test": 5 } } as never), /no origin/],
  ["mtlsOrigin({ name })", () => mtlsOrigin({ name: ["x"] } as never), /did you mean "names"\?/],
];
for (const [what, call, said] of slips) {
  test(`${what} is refused by name`, async () => {
    await assert.rejects(call(), { code: "dev_option_malformed", message: said });
  });
}

test("origin.fail() refuses a fault that it does not know: the test would test nothing", async () => {
  await using origin = await mtlsOrigin({ project });
  await assert.rejects(origin.fail({ expird: true } as never), {
    message: 'origin.fail() has no "expird": did you mean "expired"?',
    fix: /wrongName/,
  });
  await origin.fail({ expired: true });
});

test("an origin that replaces a host has a certificate for it", async () => {
  await using origin = await mtlsOrigin({ project, names: ["first.test"] });
  await using _ = await mtls({}, { project, hosts: { "api.example.com": origin } });
  const socket = connect({ port: origin.port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  const { subjectaltname } = socket.getPeerCertificate();
  socket.destroy();
  assert.match(subjectaltname ?? "", /DNS:first\.test.*DNS:api\.example\.com/);
});

test("a binding of countersign.json that the project does not have is reported", () => {
  const bindings = [{ name: "MY_CERT" }];
  assert.equal(strayBindings(file("MY_CERT"), bindings), null);
  assert.throws(() => strayBindings(file("MYCERT"), bindings), {
    code: "dev_binding_unknown",
    message: '/p/countersign.json names the binding "MYCERT": did you mean "MY_CERT"?',
  });
  assert.match(strayBindings(file("ELSEWHERE"), bindings) ?? "", /"ELSEWHERE", .* are MY_CERT/);
});

function file(name: string): Parameters<typeof strayBindings>[0] {
  return { path: "/p/countersign.json", bindings: { [name]: {} } };
}
