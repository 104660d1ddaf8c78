import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { blocks, root, taken, type Block } from "./blocks.ts";
import { development } from "./development.ts";
import { hosts } from "./hosts.ts";
import { identities } from "./identities.ts";
import { people } from "./people.ts";
import { platform } from "./platform.ts";
import { prepare, type Setting } from "./setting.ts";
import { workers } from "./workers.ts";

/** Blocks that other tests run: words of the block, or the whole page, and the test. */
const elsewhere: readonly (readonly [page: string, words: string, test: string])[] = [
  ["README.md", "countersign start --dev", "test/readme.test.ts"],
  ["README.md", "wrangler mtls-certificate upload", "test/readme.test.ts"],
  ["README.md", "countersign deploy", "test/readme.test.ts"],
  ["README.md", "wrangler cert upload", "test/readme.test.ts"],
  ["docs/guides/from-mocks-to-mtls.md", "", "test/dev-guide.test.ts"],
  // These commands make wrangler open a browser.
  ["docs/access.md", "wrangler login", "test/access-login.test.ts"],
  // Its curl needs the answers of earlier ones.
  ["docs/access.md", '"$api/apps"', "test/docs-code.test.ts"],
  // Run with Pebble as the server.
  ["docs/ingress.md", "countersign host acme", "test/acme/acme.test.ts"],
];

describe("the commands in the docs work as they stand there", () => {
  let prepared: Setting;
  before(async () => {
    prepared = await prepare();
  });
  after(() => prepared?.[Symbol.asyncDispose]());

  const setting = (): Setting => prepared;
  people(setting);
  hosts(setting);
  platform(setting);
  identities(setting);
  workers(setting);
  development();
});

it("every block of shell in the docs is followed by a test", () => {
  const scripts = Object.keys(
    (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }).scripts,
  );
  const left = blocks.filter(
    (one) => !taken.has(one) && !followedElsewhere(one) && !onlyScripts(one.text, scripts),
  );
  assert.deepEqual(
    left.map(({ name, text }) => `${name}: ${text.split("\n")[0]}`),
    [],
  );
  for (const [, , file] of elsewhere) assert.ok(existsSync(join(root, file)), file);
});

function followedElsewhere({ page, text }: Block): boolean {
  return elsewhere.some(([where, words]) => where === page && text.includes(words));
}

/** Our own npm scripts. This test is run by one of them, so it only checks that they exist. */
function onlyScripts(text: string, scripts: readonly string[]): boolean {
  return text
    .trim()
    .split("\n")
    .every((line) => {
      const [, name] = /^npm (?:run )?([\w:]+)/.exec(line) ?? [];
      return (
        line.startsWith("npm ci") ||
        line === "bash .ci/run        # what CI does, from a bare machine" ||
        (name && scripts.includes(name))
      );
    });
}
