import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../failures/failures.ts";
import { Acceptance, isRefusal, parseAuthorities, type Asking } from "./accepted.ts";

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
  assert.equal(isRefusal(refused), true);
  assert.equal(isRefusal(new Failure("origin_closed_first_read")), true);
  assert.equal(isRefusal(new Failure("origin_closed")), false);
  assert.equal(isRefusal(new Failure("origin_refused")), false);
});
