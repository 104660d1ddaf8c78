import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../failures/failures.ts";
import { Acceptance, type Asking } from "./accepted.ts";

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
