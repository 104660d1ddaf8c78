import type { ControlLimits } from "../../src/control/api/context.ts";
import { continueControl, type TestControlState } from "./control.ts";

/**
 * A control plane in a separate process, which the test kills. The state comes on standard input as JSON, and the API's
 * address goes to standard output.
 */
const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
const { masterKey, limits, ...state } = JSON.parse(Buffer.concat(chunks).toString()) as Omit<
  TestControlState,
  "masterKey"
> & { masterKey: string; limits?: Partial<ControlLimits> };
const control = await continueControl(
  { ...state, masterKey: Buffer.from(masterKey, "hex") },
  { ...(limits && { limits }) },
);
process.stdout.write(`${control.api}\n`);
