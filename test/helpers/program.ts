import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

const built = isBuilt();

/**
 * The `countersign` that tests start. It runs dist/, which users have and which starts faster, if
 * dist/ is of the src/ that is there now. A copy with another src/ (mutation testing makes such)
 * has no dist/ or an older one, and runs src/.
 */
export const program: string = built
  ? join(root, "test", "helpers", "built", "countersign.js")
  : join(root, "bin", "countersign.js");

/** The gateway process that tests start without a platform, of the same code. */
export const gatewayModule: string = built
  ? join(root, "dist", "gateway", "main.js")
  : join(root, "src", "gateway", "main.ts");

/** scripts/prepare.mjs dates dist/ to the moment when its build began. */
function isBuilt(): boolean {
  const dist = statSync(join(root, "dist"), { throwIfNoEntry: false });
  return dist !== undefined && newestSource() < dist.mtimeMs;
}

/** The folders count, too: a file that is removed or renamed changes only its folder. */
function newestSource(): number {
  const source = join(root, "src");
  const names = readdirSync(source, { recursive: true, encoding: "utf8" });
  const compiled = names.filter((name) => !name.endsWith(".test.ts"));
  return Math.max(...[".", ...compiled].map((name) => statSync(join(source, name)).mtimeMs));
}
