import { accessFailures } from "./failures/access.ts";
import { apiFailures } from "./failures/api.ts";
import { certificateFailures } from "./failures/certificates.ts";
import { devFailures } from "./failures/dev.ts";
import { edgeFailures } from "./failures/edge.ts";
import { keyFailures } from "./failures/keys.ts";
import { originFailures } from "./failures/origin.ts";
import { rotationFailures } from "./failures/rotation.ts";
import { scriptFailures } from "./failures/scripts.ts";
import { startFailures } from "./failures/start.ts";
import { storedCertificateFailures } from "./failures/stored-certificates.ts";
import type { FailureEntry } from "./failures/entry.ts";

export type { FailureEntry } from "./failures/entry.ts";

type Table = typeof accessFailures &
  typeof apiFailures &
  typeof certificateFailures &
  typeof devFailures &
  typeof edgeFailures &
  typeof keyFailures &
  typeof originFailures &
  typeof rotationFailures &
  typeof scriptFailures &
  typeof startFailures &
  typeof storedCertificateFailures;

/**
 * Every failure a user can cause or meet, by its stable code. The API, a Worker's response, the
 * CLI, logs, metrics and the docs all render from this one table.
 */
export const failures: Table = {
  ...accessFailures,
  ...apiFailures,
  ...certificateFailures,
  ...devFailures,
  ...edgeFailures,
  ...keyFailures,
  ...originFailures,
  ...rotationFailures,
  ...scriptFailures,
  ...startFailures,
  ...storedCertificateFailures,
};

export type FailureCode = keyof typeof failures;

/** What a failure carries besides its code. All of it may be shown to the user. */
export interface FailureDetails {
  /** What was attempted, quoting the values: one sentence, no full stop. Default: the title. */
  readonly message?: string;
  /** Replaces the table's general advice where this case knows better. */
  readonly fix?: string;
  /** The error underneath, for logs only. */
  readonly cause?: unknown;
  /** Facts for machines: certificate id, host, alert, names the origin has. Never a secret. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The one error class that is shown to users. Anything else that is thrown is a bug. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly fix: string;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: FailureCode, details: FailureDetails = {}) {
    super(details.message ?? failures[code].title, { cause: details.cause });
    this.code = code;
    this.fix = details.fix ?? failures[code].fix;
    this.facts = details.facts ?? {};
  }

  get entry(): FailureEntry {
    return failures[this.code];
  }
}
