import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { wranglerProject } from "./helpers/wrangler.ts";

const page = readFileSync(join(import.meta.dirname, "../docs/wrangler.md"), "utf8");

test("the table of commands has each that wrangler has, and says whether it works or is refused", async () => {
  await using project = await wranglerProject({
    api: "http://127.0.0.1:9/client/v4",
    token: "none",
  });
  const help = await project.run(["--help"]);
  assert.equal(help.exitCode, 0, help.output);
  const commands = [...help.stdout.matchAll(/^ {2}wrangler ([a-z0-9-]+)/gm)].map(
    ([, name]) => name,
  );
  assert.ok(commands.length > 30, help.stdout);

  const table = page.slice(page.indexOf("| command "), page.indexOf("## Bindings"));
  const rows = [
    ...table.matchAll(/^\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) +\| (?:works|refused)\b/gm),
  ];
  const documented = rows.flatMap(([, names = ""]) => names.replaceAll("`", "").split(", "));
  assert.deepEqual(new Set(documented), new Set(commands));
  assert.equal(documented.length, commands.length, "a command has two rows");
});
