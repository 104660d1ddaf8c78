import type { Migration, MigrationProvider } from "kysely/migration";
import { begin } from "./migrations/001-begin.ts";
import { identities } from "./migrations/010-identities.ts";
import { activations } from "./migrations/020-activations.ts";
import { secondFactors } from "./migrations/041-second-factors.ts";
import { settings } from "./migrations/002-settings.ts";
import { hosts } from "./migrations/031-hosts.ts";
import { queues } from "./migrations/093-queues.ts";
import { cron } from "./migrations/093-cron.ts";
import { access } from "./migrations/030-access.ts";
import { hostClients } from "./migrations/042-host-clients.ts";
import { hostOrigins } from "./migrations/085-host-origins.ts";
import { globalPulls } from "./migrations/096-global-pulls.ts";
import { acme } from "./migrations/097-acme.ts";
import { accessKeyTimes } from "./migrations/103-access-key-times.ts";
import { presentedNotices } from "./migrations/103b-presented-notices.ts";
import { identityEnvironments } from "./migrations/105-identity-environments.ts";
import { workflows } from "./migrations/110-workflows.ts";
import { asSent } from "./migrations/114-as-sent.ts";
import { acmeChallenge } from "./migrations/115-acme-challenge.ts";
import { zoneSettings } from "./migrations/120-zone-settings.ts";
import { acmeExternalAccounts } from "./migrations/121-acme-external-accounts.ts";
import { accessKeyIntervals } from "./migrations/122-access-key-intervals.ts";
import { certificateLists } from "./migrations/123-certificate-lists.ts";
import { oauthProofs } from "./migrations/124-oauth-proofs.ts";
import { versionPreviews } from "./migrations/102-version-previews.ts";
import { originPulls } from "./migrations/094-origin-pulls.ts";
import { dnsRecords } from "./migrations/094-dns-records.ts";
import { revocationLists } from "./migrations/095-revocation-lists.ts";
import { hyperdrive } from "./migrations/050-hyperdrive.ts";
import { resources } from "./migrations/070-resources.ts";
import { objectNamespaces } from "./migrations/091-object-namespaces.ts";
import { originIdentities } from "./migrations/080-origin-identities.ts";
import { assets } from "./migrations/092-assets.ts";
import { makers } from "./migrations/011-makers.ts";

/** In order. A released migration is never edited, because existing databases were made with it. */
const all: Record<string, Migration> = {
  "001-begin": { up: begin },
  "002-settings": { up: settings },
  "010-identities": { up: identities },
  "020-activations": { up: activations },
  "011-makers": { up: makers },
  "031-hosts": { up: hosts },
  "030-access": { up: access },
  "041-second-factors": { up: secondFactors },
  "042-host-clients": { up: hostClients },
  "050-hyperdrive": { up: hyperdrive },
  "070-resources": { up: resources },
  "085-host-origins": { up: hostOrigins },
  "095-revocation-lists": { up: revocationLists },
  "080-origin-identities": { up: originIdentities },
  "092-assets": { up: assets },
  "093-cron": { up: cron },
  "093-queues": { up: queues },
  "091-object-namespaces": { up: objectNamespaces },
  "094-dns-records": { up: dnsRecords },
  "094-origin-pulls": { up: originPulls },
  "096-global-pulls": { up: globalPulls },
  "097-acme": { up: acme },
  "102-version-previews": { up: versionPreviews },
  "103-access-key-times": { up: accessKeyTimes },
  "103b-presented-notices": { up: presentedNotices },
  "105-identity-environments": { up: identityEnvironments },
  "110-workflows": { up: workflows },
  "114-as-sent": { up: asSent },
  "115-acme-challenge": { up: acmeChallenge },
  "120-zone-settings": { up: zoneSettings },
  "121-acme-external-accounts": { up: acmeExternalAccounts },
  "122-access-key-intervals": { up: accessKeyIntervals },
  "123-certificate-lists": { up: certificateLists },
  "124-oauth-proofs": { up: oauthProofs },
};

/** Those that this version knows. */
export const migrationNames: readonly string[] = Object.keys(all);

export const migrations: MigrationProvider = {
  getMigrations: () => Promise.resolve(all),
};

/**
 * Migrations work on the database as it was at their time, so they do not use the types of the
 * current schema.
 */
// oxlint-disable-next-line typescript/no-explicit-any
