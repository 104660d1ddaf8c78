import assert from "node:assert/strict";
import { describedAt } from "../../src/control/api/results/results.ts";

/**
 * Checks that an answer is exactly what the OpenAPI document describes.
 *
 * @throws AssertionError if it is not
 */
export function assertDescribed(method: string, pathname: string, result: unknown): void {
  const schema = describedAt(method, pathname.replace(/^\/client\/v4/, ""));
  if (!schema) return;
  const where = `${method} ${pathname}: the result is not as openapi.json describes it`;
  const parsed = schema.safeParse(result);
  assert.ok(parsed.success, `${where}: ${parsed.error?.message}\n${JSON.stringify(result)}`);
  assert.deepEqual(parsed.data, result, where);
}
