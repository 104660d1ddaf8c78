import { Cron } from "croner";
import { Failure } from "../../../failures/failures.ts";

/** When a cron trigger is due, in UTC. */
export interface CronExpression {
  readonly text: string;
  /** @param minute any moment of the minute */
  isDue(minute: Date): boolean;
}

/**
 * Reads an expression as Cloudflare does: five fields; weekdays from 1 (Sunday) to 7 or by name; `L`, `W` and `#`. If
 * both the day of the month and the weekday are restricted, either is enough.
 * @throws Failure `cron_invalid`
 */
export function readCron(text: string): CronExpression {
  const fields = text.trim().split(/\s+/);
  const days = fields[4] ?? "";
  const wrong = WRONG.find(({ pattern }) => pattern.test(text));
  if (wrong !== undefined) throw invalid(text, wrong.why);
  if (text.length > LONGEST) throw invalid(text.slice(0, 40), `it is longer than ${LONGEST}`);
  if (fields.length !== 5) throw invalid(text, `it has ${fields.length} fields, and not five`);
  // The library accepts 8 for Sunday, and does not accept `L` alone, which is Saturday.
  if (/(^|[,-])8/.test(days)) throw invalid(text, "weekdays are from 1 (Sunday) to 7");
  const read = [...fields.slice(0, 4), /^L$/i.test(days) ? "7" : days].join(" ");
  let cron: Cron;
  try {
    cron = new Cron(read, {
      timezone: "UTC",
      mode: "5-part",
      alternativeWeekdays: true,
      sloppyRanges: true,
      paused: true,
    });
  } catch (cause) {
    const said = (cause as Error).message.replace(/^Cron\w+: /, "");
    throw invalid(text, said, cause);
  }
  if (cron.nextRun() === null) throw invalid(text, "no day is such a day");
  return {
    text,
    isDue: (minute) => cron.match(new Date(Math.floor(minute.getTime() / MINUTE) * MINUTE)),
  };
}

/** Expressions that the library would read differently. */
const WRONG = [
  { pattern: /[^\x20-\x7e\t]/, why: "it has characters that are none of an expression's" },
  { pattern: /[?@+~]/, why: "it has a character that Cloudflare's expressions do not have" },
  { pattern: /(^|\s|,)\//, why: "a step needs what it steps through: `*/5`" },
];

/** Characters. */
const LONGEST = 255;
export const MINUTE = 60_000;

function invalid(text: string, why: string, cause?: unknown): Failure {
  return new Failure("cron_invalid", {
    message: `invalid cron string: "${text.slice(0, LONGEST)}": ${why}`,
    facts: { cron: text.slice(0, LONGEST) },
    ...(cause !== undefined && { cause }),
  });
}
