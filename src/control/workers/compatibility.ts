import { createRequire } from "node:module";

/** The newest compatibility date the installed workerd knows: `2026-11-17`. It ships no types. */
export function latestCompatibilityDate(): string {
  const workerd = createRequire(import.meta.url)("workerd") as { compatibilityDate: string };
  return workerd.compatibilityDate;
}
