import { Failure } from "../../failures/failures.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * A duration as Cloudflare writes it (`8760h`, `2h45m`), in ms. Null: `forever`.
 * @throws Failure `access_invalid`
 */
export function durationMs(text: string): number | null {
  if (text === "forever") return null;
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit!]!, 0);
  const isWhole = parts.map(([part]) => part).join("") === text && text !== "";
  if (isWhole && ms > 0 && ms <= LONGEST) return ms;
  throw new Failure("access_invalid", {
    message: `"${text.slice(0, 50)}" is not a duration: "8760h", "2h45m" or "forever", of 100 years at most`,
  });
}

const LONGEST = 100 * 366 * 24 * 3_600_000;
