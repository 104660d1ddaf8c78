#!/usr/bin/env node
// bin/countersign.js as it runs in the published package, which has no src/.
import { main } from "../../../dist/cli/main.js";

process.exitCode = await main(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});
