import { Allowance } from "./allowance.ts";

/**
 * What one process of a Worker writes into the log of the platform: as much as an operator reads,
 * and not what fills a disk. Its own log is bounded for itself.
 */
export class OutputShare {
  readonly #allowance: Allowance;
  #leftOut = 0;

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#allowance = new Allowance(ALLOWED, now);
  }

  /** The line as it is written, cut where it is too long. Null: it is left out. */
  take(line: string): string | null {
    if (this.#allowance.isUsedUp) {
      this.#leftOut += 1;
      return null;
    }
    const cut =
      line.length > LONGEST ? `${line.slice(0, LONGEST)}… (${line.length} characters)` : line;
    this.#allowance.spend(cut.length + AROUND);
    return cut;
  }

  /** How many lines were left out since the last call. */
  leftOut(): number {
    const count = this.#leftOut;
    this.#leftOut = 0;
    return count;
  }
}

/** The level of the platform's log for a line of workerd's. */
export function loggedAs(level: string, message: string): "debug" | "info" | "warn" | "error" {
  // workerd's mark for what only its developers can act on.
  if (level === "debug" || message.startsWith("NOSENTRY")) return "debug";
  return level === "error" || level === "warn" ? level : "info";
}

/** Characters. */
const LONGEST = 16 * 1024;
const ALLOWED = { burst: 4 * 1024 * 1024, perMs: (64 * 1024) / 1_000 };
/** What the log writes around a line. */
const AROUND = 256;
