import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { scriptForm } from "./helpers/script-form.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

const upload = (name: string, metadata: object, path = ""): ReturnType<TestControl["call"]> =>
  control.call(
    path === "" ? "PUT" : "POST",
    `/accounts/{account}/workers/scripts/${name}${path}`,
    scriptForm(
      { compatibility_date: "2026-11-01", ...metadata },
      { "index.js": ["application/javascript+module", "export default { fetch() {} };"] },
    ),
  );
const codes = async (...args: Parameters<typeof upload>): Promise<readonly number[]> =>
  (await upload(...args)).errors.map(({ code }) => code);
const migrations = (sent: object): object => ({ migrations: sent });
const classes = (count: number, prefix: string): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

it("an account has 500 classes of Durable Objects at most", async () => {
  const steps = ["A", "B", "C", "D"].map((one) => ({ new_sqlite_classes: classes(100, one) }));
  assert.deepEqual(await codes("many", migrations({ new_tag: "v1", steps })), []);
  const most = { new_tag: "v1", new_classes: classes(100, "E") };
  assert.deepEqual(await codes("rest", migrations(most)), []);
  assert.deepEqual(
    await codes("more", migrations({ new_tag: "v1", new_classes: ["F"] })),
    [7000372],
  );
  const back = { old_tag: "v1", new_tag: "v2", deleted_classes: ["E0"], new_classes: ["F"] };
  assert.deepEqual(await codes("rest", migrations(back)), []);
});

it("a migration follows the tag of the last one, and comes with a deploy alone", async () => {
  const first = { new_tag: "v1", new_sqlite_classes: ["Tagged"] };
  const second = { old_tag: "v1", new_tag: "v2", renamed_classes: [{ from: "Tagged", to: "Re" }] };
  const name = "tagged";
  assert.deepEqual(await codes(name, migrations(second)), [10079]);
  // Makes room for it.
  const room = { old_tag: "v2", new_tag: "v3", deleted_classes: ["E1"] };
  assert.deepEqual(await codes("rest", migrations(room)), []);
  assert.deepEqual(await codes(name, migrations(first)), []);
  assert.deepEqual(await codes(name, migrations(first)), [10079]);
  assert.deepEqual(await codes(name, migrations(second), "/versions"), [10211]);
  assert.deepEqual(await codes(name, migrations(second)), []);
  const { result } = await control.call("GET", `/accounts/{account}/workers/services/${name}`);
  assert.equal(result.default_environment.script.migration_tag, "v2");
  const { objects } = control.edge.staged.at(-1)!;
  assert.deepEqual(
    objects?.map(({ className, sql }) => [className, sql]),
    [["Re", true]],
  );
});

it("traffic of a Worker with Durable Objects is not shared between versions", async () => {
  const ids = await Promise.all(
    [1, 2].map(async () => (await upload("tagged", {}, "/versions")).result.id as string),
  );
  const versions = ids.map((version_id) => ({ version_id, percentage: 50 }));
  const path = "/accounts/{account}/workers/scripts/tagged/deployments";
  const { errors } = await control.call("POST", path, { strategy: "percentage", versions });
  assert.equal(errors[0]?.code, 7000373, JSON.stringify(errors));
});

it("names that are no classes are refused, with or without a migration", async () => {
  for (const name of ["", "a b", "1", 'x"', "x".repeat(256)]) {
    assert.deepEqual(await codes("names", migrations({ new_classes: [name] })), [10021], name);
  }
});
