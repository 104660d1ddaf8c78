#!/usr/bin/env node
// Plain JavaScript that every Node can read, so that one that is too old gets a sentence instead of
// a syntax error. A checkout runs src/ as it is written; the published package has only dist/.
import { existsSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write(
    `countersign needs Node 24.12 or newer, this is ${process.versions.node}\n` +
      "Install a current Node (https://nodejs.org), or `npm install --save-dev node` in your project\n",
  );
  process.exit(1);
}
const source = new URL("../src/cli/main.ts", import.meta.url);
const built = new URL("../dist/cli/main.js", import.meta.url);
const { main } = await import((existsSync(source) ? source : built).href);
process.exitCode = await main(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});
