import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { until } from "../helpers/until.ts";
import { block, root } from "./blocks.ts";
import type { Setting } from "./setting.ts";

/** The blocks about Workers' identities, and origins that decide by them. */
export function identities(setting: () => Setting): void {
  it("identities.md: identities, policies, the CA, and others' certificates", async () => {
    const { platform, person, deploy } = setting();
    const page = "docs/identities.md";
    const bindings = [{ type: "mtls_certificate", name: "ME", certificate_id: "identity" }];
    const code = "export default { fetch: () => new Response('') };";
    await deploy("orders", code, { bindings });
    const { stdout } = await person.run(block(page, "countersign identity show"));
    assert.match(stdout, /orders/);
    const switched = await person.run(block(page, "identity environments"));
    assert.equal(switched.stdout, "on\non\n");
    const text = readFileSync(join(root, page), "utf8");
    const [, policy = ""] = /```json\n(\{\s*"allow".*?)```/s.exec(text) ?? [];
    person.write({ "policy.json": policy });
    await deploy("b", code, { bindings });
    await person.run(block("README.md", "countersign policy set"));
    const [set = "", explain = "", log = ""] = block(page, "policy set").trim().split("\n");
    await person.run(set);
    assert.equal((await person.ends(explain)).status, 1, "it shows a refusal");
    await person.run(log);
    await person.run(
      `openssl req -newkey rsa:2048 -nodes -subj /CN=ada -keyout ada.key -out ada.csr`,
    );
    const [issue = "", withdraw = ""] = block(page, "identity issue").trim().split("\n");
    await person.run(issue);
    const { stdout: printed } = await person.run("openssl x509 -in ada.crt -noout -serial");
    await person.run(withdraw.replace("4F0A11", printed.trim().split("=")[1]!));
    await person.run(block(page, "identity revoke"));
    const exchange = block(page, "identity ca retire").trim().split("\n");
    const [retire = ""] = exchange.splice(2, 1);
    await person.run(exchange.join("\n"));
    await until(async () => (await person.ends(retire)).status === 0);
    const root_ = block(page, "identity ca root");
    await person.run(root_.replace("ACCOUNT_ID", platform.ready.accountId));
  });

  it("identities.md: the sidecar, and configurations for proxies", async () => {
    const { platform, person } = setting();
    const page = "docs/identities.md";
    const here = (line: string): string =>
      line
        .replace("https://cs.example:4400/client/v4", platform.ready.api)
        .replace("ACCOUNT_ID", platform.ready.accountId)
        .replace("/etc/nginx/conf.d", person.folder)
        .replace(/--exec '[^']*'/, "--exec true");
    for (const line of block(page, "countersign origin serve").trim().split("\n")) {
      const free = line.includes("--listen")
        ? line.replace("0.0.0.0:5433", "127.0.0.1:0")
        : `${line} --listen 127.0.0.1:0`;
      await person.until(`${here(free)} --json`, /"ready":true/);
    }
    const [once = "", followed = ""] = block(page, "origin config nginx").trim().split("\n");
    assert.match((await person.run(here(once))).stdout, /ssl_verify_client/);
    await person.until(here(followed), /./);
  });
}
