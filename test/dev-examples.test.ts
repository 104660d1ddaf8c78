import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { openAuthority } from "../src/dev/authority.ts";
import { devFileSchema } from "../src/dev/file.ts";
import { startDevOrigin } from "../src/dev/origin.ts";
import { makeProject } from "./helpers/dev-project.ts";

interface Seen {
  readonly client: { readonly subject: string };
  readonly headers: Readonly<Record<string, string>>;
}

describe("each example runs with countersign dev", () => {
  test("hono-template: its supplier is led to a stand-in by countersign.json", async () => {
    await using project = await makeProject({}, "hono-template");
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority, names: ["api.supplier.example"] });
    await usePort(project, origin.port);
    await using dev = await project.dev();
    const seen = (await (await fetch(`${dev.url}/stock/bolts`)).json()) as Seen & { path: string };
    assert.equal(seen.path, "/stock/bolts");
    assert.equal(seen.headers["host"], "api.supplier.example");
    await origin.fail({ expired: true });
    const failed = await fetch(`${dev.url}/stock/nuts`);
    assert.deepEqual(await failed.json(), { problem: "origin_certificate_expired" });
  });

  test("storage: KV, D1 and a Durable Object beside the mTLS binding", async () => {
    await using project = await makeProject({}, "storage");
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({ authority });
    await using dev = await project.dev("--var", `LEDGER:${origin.url}`);
    await (await fetch(dev.url)).text();
    const response = await fetch(dev.url);
    const { last, orders } = (await response.json()) as {
      last: string;
      orders: { number: number; by: string }[];
    };
    assert.equal(last, "2");
    assert.deepEqual(
      orders.map(({ number }) => number),
      [1, 2],
    );
    assert.match(orders[1]?.by ?? "", /CN=LEDGER_CERT/);
  });

  test("two-environments: two bindings, each with its own hosts in staging", async () => {
    await using project = await makeProject({}, "two-environments");
    const authority = await openAuthority(project.folder);
    await using origin = await startDevOrigin({
      authority,
      names: ["bank.staging.example", "tax.staging.example"],
    });
    await usePort(project, origin.port);
    {
      const [bank, tax] = [`BANK:${origin.url}`, `TAX_OFFICE:${origin.url}`];
      await using dev = await project.dev("--var", bank, "--var", tax);
      const answer = await ask(dev.url);
      assert.match(answer.bank.client.subject, /CN=BANK_CERT/);
      assert.match(answer.tax.client.subject, /CN=TAX_CERT/);
    }
    await using dev = await project.dev("--env", "staging");
    const answer = await ask(dev.url);
    assert.equal(answer.bank.headers["host"], "bank.staging.example");
    assert.equal(answer.tax.headers["host"], "tax.staging.example");
  });
});

test("the JSON Schema of countersign.json that is shipped is the one that is enforced", async () => {
  const shipped = await readFile(
    new URL("../assets/countersign.schema.json", import.meta.url),
    "utf8",
  );
  assert.deepEqual(JSON.parse(shipped), JSON.parse(JSON.stringify(devFileSchema())));
});

async function usePort(
  project: { path(name: string): string; write(path: string, text: string): Promise<void> },
  port: number,
): Promise<void> {
  const text = await readFile(project.path("countersign.json"), "utf8");
  await project.write("countersign.json", text.replaceAll("localhost:8443", `localhost:${port}`));
}

async function ask(url: string): Promise<{ readonly bank: Seen; readonly tax: Seen }> {
  return (await (await fetch(url)).json()) as { bank: Seen; tax: Seen };
}
