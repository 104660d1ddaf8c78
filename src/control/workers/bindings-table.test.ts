import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Failure } from "../../failures/failures.ts";
import { SecretTexts } from "../../keys/secret-texts.ts";
import { Keyring } from "../../keys/seal.ts";
import { resolveBindings } from "./bindings.ts";
import { bindingTypes } from "./requested-bindings.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/wrangler.md"), "utf8");
const rows = [...page.matchAll(/^\| [^|]*\| (`\w+`(?:, `\w+`)*) +\| (works|refused)/gm)].flatMap(
  ([, types = "", how = ""]) =>
    types.split(", ").map((type) => ({ type: type.replaceAll("`", ""), how })),
);

test("the table of bindings says of each type what a deploy does", () => {
  const owner = { accountId: "a", scriptName: "s", versionId: "v", tag: "", timestamp: "" };
  const keyring = new Keyring(new Uint8Array(32));
  const sources = { keyring, texts: new SecretTexts(), before: null, keep: [] };
  assert.ok(rows.length > 15);
  for (const { type, how } of rows) {
    let code = "none";
    try {
      resolveBindings([{ name: "B", type }], owner, sources);
    } catch (error) {
      if (error instanceof Failure) code = error.code;
    }
    assert.equal(code === "binding_unsupported" ? "refused" : "works", how, type);
  }
  const works = rows.filter(({ how }) => how === "works").map(({ type }) => type);
  assert.deepEqual(new Set([...works, "inherit"]), new Set(bindingTypes));
});
