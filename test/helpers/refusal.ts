import assert from "node:assert/strict";
import { Failure, type FailureCode } from "../../src/failures/failures.ts";

/** Runs something that must be refused, and returns the failure, after checking its code and message. */
export function refusal(code: FailureCode, run: () => unknown, message?: RegExp): Failure {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    assert.equal(error.code, code, error.message);
    if (message !== undefined) assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\.$|PRIVATE KEY-----/);
    return error;
  }
  throw new assert.AssertionError({ message: `accepted, where ${code} was expected` });
}
