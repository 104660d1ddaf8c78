// npm runs this after `npm install` in a clone, when a project installs the clone as a folder, and
// before `npm pack`, because a project imports dist/, and a clone does not have it. Plain JavaScript,
// because an older Node than Countersign needs may run it.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = join(root, "node_modules/typescript/bin/tsc");
// The second build imports the output of the first.
const projects = ["packages/origin/tsconfig.json", "tsconfig.build.json"];

if (existsSync(compiler)) {
  const began = new Date();
  process.exitCode = Math.max(...projects.map(build));
  // test/helpers/program.ts compares this with src/: dist/ lacks later changes.
  if (process.exitCode === 0) utimesSync(join(root, "dist"), began, began);
} else if (!existsSync(join(root, "dist/cli/main.js"))) {
  // Installed without development dependencies: the command line runs from src/, imports need dist/.
  process.stderr.write(`countersign is not built: run \`npm ci\` in ${root}, which builds it\n`);
}

function build(project) {
  rmSync(join(root, dirname(project), "dist"), { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [compiler, "-p", project], {
    cwd: root,
    stdio: "inherit",
  });
  return status ?? 1;
}
