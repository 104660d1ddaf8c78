import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createServer } from "node:tls";
import { makeAuthority, type TestCertificate } from "../../test/helpers/pki.ts";
import { defaultOptions } from "../contract/gateway-options.ts";
import { Failure } from "../failures/failures.ts";
import { AddressPolicy } from "../network/addresses.ts";
import {
  Acceptance,
  acceptedAuthorities,
  refusesCertificate,
  parseAuthorities,
  type Asking,
} from "./accepted.ts";
import type { Network } from "./origin/dial.ts";

const refused = new Failure("origin_refused_certificate_ca");

function asking(bindingName: string, host: string): Asking {
  return { accountId: "a", scriptName: "s", bindingName, destination: { host, port: 443 } };
}

test("what could not be found out is asked again after ten seconds, not at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let times = 0;
  const acceptance = new Acceptance(() => {
    times += 1;
    throw new Error("no way there");
  }, 2);
  const explain = (): Promise<Failure> => acceptance.explain(refused, asking("B", "a.example"));
  assert.equal(await explain(), refused);
  await explain();
  assert.equal(times, 1);
  t.mock.timers.tick(10_000);
  await explain();
  assert.equal(times, 2);
});

test("one origin at a time is asked for a binding, two for all; the others go unexplained", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked: string[] = [];
  const network = {
    policy: { detour: () => null },
    timeouts: { dns: 1_000 },
    resolve: (host: string) => {
      asked.push(host);
      return new Promise(() => {});
    },
  };
  const acceptance = new Acceptance(() => network as never, 2);
  void acceptance.explain(refused, asking("ONE", "a.example"));
  assert.equal(await acceptance.explain(refused, asking("ONE", "b.example")), refused);
  void acceptance.explain(refused, asking("TWO", "c.example"));
  assert.equal(await acceptance.explain(refused, asking("THREE", "d.example")), refused);
  assert.deepEqual(asked, ["a.example", "c.example"]);
});

test("what OpenSSL says of the CAs is read up to its next words", () => {
  const list = "Acceptable client certificate CA names\nCN=One,O=Acme\nCN=Two\n";
  for (const rest of [
    "---\nno more\n",
    "Requested Signature Algorithms: x\n",
    "Client Certificate Types: x\n",
    "Peer signing digest: x\n",
    "\nanything\n",
    "",
  ]) {
    assert.deepEqual(parseAuthorities(`CONNECTED\n${list}${rest}`), ["CN=One,O=Acme", "CN=Two"]);
  }
  assert.deepEqual(parseAuthorities("a\nNo client certificate CA names sent\nb\n"), []);
  assert.equal(parseAuthorities("CONNECTED\n"), null);
  assert.equal(parseAuthorities(` ${list}`), null);
  assert.equal(parseAuthorities("xNo client certificate CA names sent\n"), null);
  assert.equal(parseAuthorities("No client certificate CA names sent, it says\n"), null);
});

test("a failure is about the certificate where an alert says so, or nothing was ever answered", () => {
  assert.equal(refusesCertificate(refused), true);
  assert.equal(refusesCertificate(new Failure("origin_closed_first_read")), true);
  assert.equal(refusesCertificate(new Failure("origin_closed")), false);
  assert.equal(refusesCertificate(new Failure("origin_refused")), false);
});

test("a refusal names the CAs that the origin accepts, which is asked once in ten minutes", async (t) => {
  const authority = await makeAuthority();
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  for (const [ca, accepted, words] of [
    [authority.pem, ["CN=Test Root CA"], "CN=Test Root CA"],
    [undefined, [], "any CA, it says"],
  ] as const) {
    const { port, names } = await origin(t, server, ca);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const acceptance = new Acceptance(() => loopback, 1);
    const explain = (): Promise<Failure> =>
      acceptance.explain(told, {
        ...asking("B", "localhost"),
        destination: { host: "localhost", port },
      });
    const explained = await explain();
    assert.equal(explained.code, told.code);
    assert.equal(explained.message, `refused; it accepts certificates of ${words}`);
    assert.deepEqual(explained.facts, { host: "a.example", acceptedAuthorities: accepted });
    assert.deepEqual([explained.fix, explained.cause], [told.fix, told.cause]);
    t.mock.timers.tick(599_999);
    await explain();
    assert.deepEqual(names, ["localhost"], "the name is sent, and it is asked once");
    t.mock.timers.tick(1);
    await explain();
    assert.equal(names.length, 2);
    t.mock.timers.reset();
  }
});

test("an origin that is reached by an address is asked without a name; an origin that is gone says nothing", async (t) => {
  const authority = await makeAuthority();
  const server = await authority.issue({ subject: "CN=localhost", ips: ["127.0.0.1"] });
  const { port, names } = await origin(t, server, authority.pem);
  const destination = { host: "127.0.0.1", port };
  assert.deepEqual(await acceptedAuthorities("127.0.0.1", destination), ["CN=Test Root CA"]);
  assert.deepEqual(names, []);
  assert.equal(await acceptedAuthorities("127.0.0.1", { host: "127.0.0.1", port: 1 }), null);
  const cancelled = acceptedAuthorities("127.0.0.1", destination, AbortSignal.abort());
  assert.equal(await cancelled, null);
});

const told = new Failure("origin_refused_certificate_ca", {
  message: "refused",
  facts: { host: "a.example" },
  cause: new Error("alert"),
});

const loopback: Network = {
  policy: new AddressPolicy({
    allow: ["127.0.0.1"],
    deny: [],
    development: false,
    denyLocalPorts: [],
  }),
  timeouts: defaultOptions.timeouts,
  resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
};

/** A server that accepts certificates of `ca`. It writes down which names it is asked by. */
async function origin(
  t: TestContext,
  { chain: cert, key }: TestCertificate,
  ca: string | undefined,
): Promise<{ port: number; names: string[] }> {
  const names: string[] = [];
  const server = createServer({
    cert,
    key,
    ...(ca !== undefined && { ca }),
    requestCert: true,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  server.on("tlsClientError", () => {});
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, names };
}
