import assert from "node:assert/strict";
import { it } from "node:test";
import { array, assert as check, constantFrom, property, string, tuple } from "fast-check";
import { metadataFromFields } from "./form-fields.ts";

function form(...fields: [string, string][]): FormData {
  const made = new FormData();
  for (const [name, value] of fields) made.append(name, value);
  return made;
}

it("metadata is put together again from fields", () => {
  const sent = form(
    ["metadata[main_module]", "index.mjs"],
    ["metadata[compatibility_flags][]", "a"],
    ["metadata[compatibility_flags][]", "b"],
    ["metadata[bindings][][type]", "plain_text"],
    ["metadata[bindings][][name]", "A"],
    ["metadata[bindings][][text]", "true"],
    ["metadata[bindings][][type]", "mtls_certificate"],
    ["metadata[bindings][][name]", "B"],
    ["metadata[observability][enabled]", "false"],
    ["metadata[limits][cpu_ms]", "50"],
    ["files[]", "x"],
  );
  assert.deepEqual(metadataFromFields(sent), {
    main_module: "index.mjs",
    compatibility_flags: ["a", "b"],
    bindings: [
      { type: "plain_text", name: "A", text: "true" },
      { type: "mtls_certificate", name: "B" },
    ],
    observability: { enabled: false },
    limits: { cpu_ms: 50 },
  });
});

it("a form without such fields has none, and JSON values are not guessed", () => {
  assert.equal(metadataFromFields(form(["metadata", "{}"])), null);
  const json = form(["metadata[bindings][][json][a]", "1"]);
  assert.throws(() => metadataFromFields(json), /type json cannot be sent as form fields/);
});

it("no names of fields reach a prototype, or end in anything but an object or an Error", () => {
  const key = constantFrom("", "a", "__proto__", "constructor", "bindings", "json", "0");
  const name = array(key, { maxLength: 12 }).map(
    (keys) => `metadata${keys.map((k) => `[${k}]`).join("")}`,
  );
  check(
    property(array(tuple(name, string()), { maxLength: 30 }), (fields) => {
      try {
        metadataFromFields(form(...fields));
      } catch (error) {
        assert.match((error as Error).message, /too deep|type json/);
      }
      assert.equal(({} as Record<string, unknown>)["a"], undefined);
    }),
  );
});
