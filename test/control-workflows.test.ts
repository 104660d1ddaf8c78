import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { scriptForm } from "./helpers/script-form.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

const bound = (name: string, className: string): object => ({
  type: "workflow",
  name: `B_${name}`,
  workflow_name: name,
  class_name: className,
});
const upload = (
  script: string,
  bindings: readonly object[],
  path = "",
): ReturnType<TestControl["call"]> =>
  control.call(
    path === "" ? "PUT" : "POST",
    `/accounts/{account}/workers/scripts/${script}${path}`,
    scriptForm(
      { compatibility_date: "2026-11-01", bindings },
      { "index.js": ["application/javascript+module", "export default { fetch() {} };"] },
    ),
  );
const share = (version_id: string): object => ({ version_id, percentage: 50 });
const put = (name: string, body: object): ReturnType<TestControl["call"]> =>
  control.call("PUT", `/accounts/{account}/workflows/${name}`, body);
const codes = async (call: ReturnType<TestControl["call"]>): Promise<readonly number[]> =>
  (await call).errors.map(({ code }) => code);

it("an account has 500 Workflows at most", async () => {
  const many = (count: number, prefix: string): readonly object[] =>
    Array.from({ length: count }, (_, index) => bound(`${prefix}${index}`, `C${index}`));
  assert.deepEqual(await codes(upload("many", many(400, "m"))), []);
  assert.deepEqual(await codes(upload("rest", many(101, "r"))), [7000835]);
  assert.deepEqual(await codes(upload("rest", many(100, "r"))), []);
  assert.deepEqual(await codes(upload("more", [bound("one", "One")])), [7000835]);
  for (const name of ["r0", "r1", "r2", "r3", "r4"]) {
    assert.deepEqual(
      await codes(control.call("DELETE", `/accounts/{account}/workflows/${name}`)),
      [],
    );
  }
  assert.deepEqual(await codes(upload("more", [bound("one", "One")])), []);
});

it("what is sent after a deploy changes limits and retention, and nothing else", async () => {
  await upload("set", [bound("set", "Order")]);
  const sent = { script_name: "set", class_name: "Order" };
  const { result } = await put("set", {
    ...sent,
    limits: { steps: 20 },
    default_retention: { success_retention: "3 days", error_retention: 1000 },
  });
  assert.deepEqual([result.script_name, result.class_name], ["set", "Order"]);
  await upload("set", [bound("set", "Order")]);
  const { workflows } = control.edge.staged.at(-1)!;
  const [{ workflowId, ...run } = { workflowId: "" }] = workflows ?? [];
  assert.match(workflowId, /^[0-9a-f]{32}$/);
  assert.deepEqual(run, {
    name: "set",
    className: "Order",
    steps: 20,
    retention: { success: "3 days", error: 1000 },
  });
  assert.deepEqual(await codes(put("set", { ...sent, class_name: "Other" })), [7000830]);
  assert.deepEqual(await codes(put("set", { ...sent, script_name: "many" })), [7000831]);
  assert.deepEqual(await codes(put("none", sent)), [10200]);
  const late = { success_retention: "soon" };
  assert.deepEqual(await codes(put("set", { ...sent, default_retention: late })), [7000003]);
});

it("a Workflow has one class, a class one Workflow, and names that are none are refused", async () => {
  const twice = [bound("two", "A"), { ...bound("two", "B"), name: "OTHER" }];
  assert.deepEqual(new Set(await codes(upload("two", twice))), new Set([7000830]));
  assert.deepEqual(await codes(upload("two", [bound("two", "A"), bound("three", "A")])), [7000830]);
  for (const name of ["../up", "", "-first", "x".repeat(65)]) {
    assert.equal((await upload("two", [bound(name, "A")])).success, false, name);
  }
});

it("traffic of a Worker with Workflows is not shared between versions", async () => {
  await upload("shared", [bound("shared", "Order")]);
  const { result: second } = await upload("shared", [bound("shared", "Order")], "/versions");
  const { result: deployments } = await control.call(
    "GET",
    "/accounts/{account}/workers/scripts/shared/deployments",
  );
  const first = deployments.deployments[0].versions[0].version_id;
  const body = { strategy: "percentage", versions: [share(first), share(second.id)] };
  const path = "/accounts/{account}/workers/scripts/shared/deployments";
  assert.deepEqual(await codes(control.call("POST", path, body)), [7000373]);
});
