// npm runs this after `npm install` in a clone, when a project installs the clone as a folder, and
// before `npm pack`: dist/ is what a project imports, and a clone does not have it. Plain JavaScript,
// for it may be run by an older Node than the one that Countersign needs.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));

if (existsSync(compiler)) {
  rmSync(fileURLToPath(new URL("../dist", import.meta.url)), { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
    cwd: root,
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} else if (!existsSync(fileURLToPath(new URL("../dist/cli/main.js", import.meta.url)))) {
  // Installed without development dependencies: the command line runs from src/, imports need dist/.
  process.stderr.write(`countersign is not built: run \`npm ci\` in ${root}, which builds it\n`);
}
