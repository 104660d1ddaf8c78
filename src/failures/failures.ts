import { accessFailures } from "./access.ts";
import { acmeFailures } from "./acme.ts";
import { apiFailures } from "./api.ts";
import { applicationAccessFailures } from "./application-access.ts";
import { certificateFailures } from "./certificates.ts";
import { databaseFailures } from "./databases.ts";
import { devFailures } from "./dev.ts";
import { dnsFailures } from "./dns.ts";
import { edgeFailures } from "./edge.ts";
import { eventFailures } from "./events.ts";
import { clientCertificateFailures } from "./client-certificates.ts";
import { hostOriginFailures } from "./host-origins.ts";
import { identityFailures } from "./identity.ts";
import { keyFailures } from "./keys.ts";
import { originPullFailures } from "./origin-pulls.ts";
import { objectFailures } from "./objects.ts";
import { originFailures } from "./origin.ts";
import { resourceFailures } from "./resources.ts";
import { rotationFailures } from "./certificate-versions.ts";
import { scriptFailures } from "./scripts.ts";
import { sidecarFailures } from "./sidecar.ts";
import { startFailures } from "./starting.ts";
import { assetFailures } from "./assets.ts";
import { storageFailures } from "./storage.ts";
import { storedCertificateFailures } from "./stored-certificates.ts";
import { streamFailures } from "./streams.ts";
import { workflowFailures } from "./workflows.ts";
import type { FailureEntry } from "./entry.ts";

export type { FailureEntry } from "./entry.ts";

type Table = typeof accessFailures &
  typeof acmeFailures &
  typeof apiFailures &
  typeof applicationAccessFailures &
  typeof certificateFailures &
  typeof databaseFailures &
  typeof devFailures &
  typeof dnsFailures &
  typeof edgeFailures &
  typeof eventFailures &
  typeof clientCertificateFailures &
  typeof hostOriginFailures &
  typeof identityFailures &
  typeof keyFailures &
  typeof objectFailures &
  typeof originFailures &
  typeof originPullFailures &
  typeof resourceFailures &
  typeof rotationFailures &
  typeof scriptFailures &
  typeof sidecarFailures &
  typeof startFailures &
  typeof storageFailures &
  typeof assetFailures &
  typeof storedCertificateFailures &
  typeof streamFailures &
  typeof workflowFailures;

/**
 * Every failure a user can cause or meet, by its stable code. The API, a Worker's response, the
 * CLI, logs, metrics and the docs all render from this one table.
 */
export const failures: Table = {
  ...accessFailures,
  ...acmeFailures,
  ...apiFailures,
  ...applicationAccessFailures,
  ...certificateFailures,
  ...databaseFailures,
  ...devFailures,
  ...dnsFailures,
  ...edgeFailures,
  ...eventFailures,
  ...clientCertificateFailures,
  ...hostOriginFailures,
  ...identityFailures,
  ...keyFailures,
  ...objectFailures,
  ...originFailures,
  ...originPullFailures,
  ...resourceFailures,
  ...rotationFailures,
  ...scriptFailures,
  ...sidecarFailures,
  ...startFailures,
  ...storageFailures,
  ...assetFailures,
  ...storedCertificateFailures,
  ...streamFailures,
  ...workflowFailures,
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
  /** The failures that this one combines: each is shown. */
  readonly parts?: readonly Failure[];

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
