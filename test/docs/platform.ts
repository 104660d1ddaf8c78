import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { block } from "./blocks.ts";
import type { Setting } from "./setting.ts";

/** The blocks about the platform itself: its start, its keys and its backup. */
export function platform(setting: () => Setting): void {
  it("every start that is shown is one", async () => {
    const { person } = setting();
    const shown: readonly [string, string][] = [
      ["docs/access.md", "--audit-days"],
      ["docs/ingress.md", "--https-only"],
      ["docs/platform.md", "--worker-processes"],
      ["docs/platform.md", "--gateway-processes"],
      ["docs/platform.md", "--ingress-processes"],
      ["docs/platform.md", "--idle-after"],
      ["docs/security.md", "--sandbox required"],
      ["docs/security.md", "--worker-memory"],
      ["docs/security.md", "--api-cert"],
      ["docs/security.md", "--trusted-proxies"],
    ];
    const lines = shown.flatMap(([page, words]) => block(page, words).trim().split("\n"));
    for (const line of lines) await person.starts(line);
    const ports = block("docs/platform.md", "--worker-socket");
    const socket = join(person.folder, "shop.sock");
    await person.starts(
      ports.trim().replace("=8080", "=0").replace("/run/countersign/shop.sock", socket),
    );
  });

  it("platform.md and keys.md: proxies, a new master key, a backup and its restore", async () => {
    const { person } = setting();
    const platformPage = "docs/platform.md";
    const { stdout } = await person.run(block(platformPage, "openssl rand"));
    assert.equal(Buffer.from(stdout, "base64").length, 32);
    await person.run(block(platformPage, "countersign ingress config"));
    assert.match(person.read("shop.conf"), /server_name/);
    const [own = "", other = "", status = ""] = block("docs/keys.md", "keys rotate")
      .trim()
      .split("\n");
    await person.run(`${own}\n${status}`);
    await person.run(`openssl rand -base64 32 > new.key\n${other}`);
    const [save = "", bring = ""] = block("docs/keys.md", "countersign backup").trim().split("\n");
    const file = join(person.folder, "countersign.db");
    await person.run(save.replace("/backup/countersign.db", file));
    const restored = join(person.folder, "restored");
    const line = bring.replace("/backup/countersign.db", file);
    await person.run(line.replace("/var/lib/countersign", restored));
    assert.ok(existsSync(restored));
  });

  it("keys.md: a command prints the master key", async () => {
    const { person } = setting();
    const code = block("docs/keys.md", "vault kv get");
    // Stand-ins that print what those programs would print; the real ones ask services that do not exist here.
    for (const name of ["vault", "aws", "age"]) {
      person.program(name, "printf %s 'q8bCXMqmlTVaz1NFT7WkU1dlQ7sB0dyDkLsDbVUGXqI='");
    }
    for (const line of code.trim().split("\n")) await person.starts(`${line} countersign start`);
  });
}
