import assert from "node:assert/strict";
import { test } from "node:test";
import { originFailures } from "../failures/origin.ts";
import { withoutItself } from "./handshake-test.ts";

test("`certificate test` advises nobody to run `certificate test`", () => {
  for (const [code, { fix }] of Object.entries(originFailures)) {
    assert.doesNotMatch(withoutItself(fix), /certificate test/, code);
  }
});
