import { createRequire } from "node:module";

/** The newest compatibility date that the installed workerd supports: `2026-11-17`. The package ships no types. */
export function latestCompatibilityDate(): string {
  const workerd = createRequire(import.meta.url)("workerd") as { compatibilityDate: string };
  return workerd.compatibilityDate;
}
