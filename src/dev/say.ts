import { describeExpiry } from "../certificates/expiry.ts";
import type { ChosenCertificate } from "./certificates.ts";
import type { Failure } from "../failures/failures.ts";
import { calledBy } from "../certificates/shown.ts";
import type { Colors } from "../terminal/io.ts";
import { WranglerError } from "./wrangler/wrangler-error.ts";

/** One line for each binding: its certificate's source, subject and expiry, and its trust. */
export function describeBinding(
  chosen: ChosenCertificate,
  { trust, now, colors }: { readonly trust: string; readonly now: Date; readonly colors: Colors },
): string {
  const { binding, facts, source, label, warnings } = chosen;
  const expiry = expiryWithDate(facts.notAfter, now);
  const said = warnings.map(({ message }) => `\n  ${colors.yellow("⚠")} ${message}`);
  return [
    `${colors.cyan(binding)} presents ${colors.bold(calledBy(facts))}`,
    ` (${label}, from ${source}; ${facts.notAfter <= now ? colors.red(expiry) : expiry})`,
    `, trusts ${trust}`,
    ...said,
  ].join("");
}

/** With the date, so the developer can compare it with a calendar. */
export function expiryWithDate(notAfter: Date, now: Date): string {
  const said = describeExpiry(notAfter, now);
  return Number.isNaN(notAfter.getTime())
    ? said
    : `${said}, on ${notAfter.toISOString().slice(0, 10)}`;
}

/** A failure for the developer's terminal: the code, both certificates in a few words, the fix. */
export function describeFailure(failure: Failure, about: FailureContext, colors: Colors): string {
  const lines = [
    `${colors.red("✘")} ${about.binding ? `${colors.cyan(about.binding)}: ` : ""}${failure.message}`,
    ...(about.client ? [`  ${colors.dim("yours ")} ${about.client}`] : []),
    ...(about.origin ? [`  ${colors.dim("theirs")} ${about.origin}`] : []),
    `  ${colors.dim("why   ")} ${failure.entry.cause}`,
    `  ${colors.dim("do    ")} ${about.fix ?? failure.fix}`,
    `  ${colors.dim("code  ")} ${failure.code}`,
  ];
  return lines.join("\n");
}

export interface FailureContext {
  readonly binding?: string | undefined;
  /** The client's certificate, in a few words. */
  readonly client?: string | undefined;
  /** The origin's certificate, in a few words. */
  readonly origin?: string | undefined;
  /** A command that fixes exactly this case. */
  readonly fix?: string | undefined;
}

/** wrangler's own message unchanged; for other errors that are not a Failure, their message. */
export function describeError(error: unknown): string {
  return error instanceof WranglerError || error instanceof Error ? error.message : String(error);
}
