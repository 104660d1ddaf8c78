import type { Logger } from "pino";
import { readPair, wipe, type PairNames } from "../certificates/pair-files.ts";
import { FolderSource } from "../certificates/source-folder.ts";
import type { JudgedLeaf, KeyIntake } from "../certificates/key-intake.ts";
import { existingCertificate } from "../control/certificates/certificate-intake.ts";
import type { ControlContext } from "../control/api/context.ts";
import { addVersion } from "../control/certificates/certificate-versions.ts";
import { refuseAuthority } from "../control/certificates/trust.ts";
import { ownerOfData } from "../control/api/auth.ts";
import { Failure } from "../failures/failures.ts";
import { accountAuthorities } from "../store/authorities.ts";
import { listCertificateVersions } from "../store/certificates/certificate-versions.ts";
import {
  deleteSource,
  listSources,
  putSource,
  updateSource,
} from "../store/certificates/watched-folders.ts";
import type { Actor, Audit, AuditAction } from "../store/access/audit.ts";
import type { CertificateSourceRow } from "../store/schema.ts";
import { Rounds } from "./rounds.ts";

export interface FolderSourcesOptions {
  readonly context: Pick<ControlContext, "store" | "keyring" | "edge" | "clock">;
  readonly log: Logger;
  /** The process that may read private keys. Default: this one. */
  readonly intake?: KeyIntake;
  /** ms between two looks at each folder. Default: 1,000. */
  readonly interval?: number;
  /** How long another program may leave a folder in an inconsistent state, ms. Default: 10,000. */
  readonly patience?: number;
}

export interface WatchedFolder {
  readonly accountId: string;
  readonly certificateId: string;
  /** Absolute. */
  readonly folder: string;
  /** Default: the files are found by name, see `readPair`. */
  readonly names?: PairNames;
}

/**
 * Folders on this machine that other programs renew: what appears there becomes a new version of a
 * certificate. The store says which folder belongs to which certificate. Only the owner of the data
 * folder may set this, because the files are read with the platform's rights.
 */
export class FolderSources implements AsyncDisposable {
  readonly #options: FolderSourcesOptions;
  readonly #watched: Map<string, FolderSource> = new Map();
  readonly #rounds = new Rounds();

  /** Follows every folder in the store. A folder that cannot be read now is tried again later. */
  static async start(options: FolderSourcesOptions): Promise<FolderSources> {
    const { interval = 1_000, log } = options;
    const sources = new FolderSources(options);
    for (const row of await listSources(options.context.store.db)) await sources.#follow(row);
    sources.#rounds.begin(() => sources.#look(), {
      interval,
      failed: (err) => log.error({ err }, "watched folders are not read"),
    });
    return sources;
  }

  private constructor(options: FolderSourcesOptions) {
    this.#options = options;
  }

  /**
   * Follows a folder for a certificate, instead of any previous folder.
   * @throws Failure `certificate_not_found`, `certificate_kind_differs`, `folder_unreadable`
   */
  async watch({ accountId, certificateId, folder, names }: WatchedFolder): Promise<void> {
    const { store, clock } = this.#options.context;
    refuseAuthority(await existingCertificate(store.db, accountId, certificateId));
    wipe(await readPair(folder, names));
    const row: CertificateSourceRow = {
      certificateId,
      accountId,
      folder,
      certificateFile: names?.certificate ?? null,
      keyFile: names?.key ?? null,
      createdOn: clock().toISOString(),
      takenOn: null,
      failedOn: null,
      failure: null,
    };
    await store.write(async ({ db }) => {
      await putSource(db, row);
      return { value: null, audit: auditOf("certificate.watch", row) };
    });
    await this.#follow(row);
  }

  /** @returns false if no folder was followed for the certificate */
  async unwatch(certificateId: string): Promise<boolean> {
    this.#watched.delete(certificateId);
    const { value } = await this.#options.context.store.write(async ({ db }) => {
      const gone = await deleteSource(db, certificateId);
      return { value: gone !== null, audit: gone && auditOf("certificate.unwatch", gone) };
    });
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }

  async #look(): Promise<void> {
    for (const source of this.#watched.values()) await source.look();
  }

  async #follow(row: CertificateSourceRow): Promise<void> {
    const { context, patience, intake } = this.#options;
    const { store, clock } = context;
    const [newest] = await listCertificateVersions(store.db, row.certificateId);
    const { certificateFile: certificate, keyFile: key } = row;
    const source = new FolderSource({
      folder: row.folder,
      ...(certificate !== null && key !== null && { names: { certificate, key } }),
      // The newest version, not the active one: after a rollback the folder's files must not be activated again.
      ...(newest && { known: newest.contentHash }),
      authorities: await accountAuthorities(store.db, row.accountId),
      now: clock,
      ...(intake && { intake }),
      onVersion: (version) => this.#take(row, version),
      onFailure: (error) => void this.#failed(row, error),
      ...(patience !== undefined && { patience }),
    });
    this.#watched.set(row.certificateId, source);
  }

  async #take(row: CertificateSourceRow, parsed: JudgedLeaf): Promise<void> {
    const { context, log } = this.#options;
    const { accountId, certificateId, folder } = row;
    const target = { accountId, certificateId, by: systemItself };
    try {
      const { version } = await addVersion(context, target, parsed);
      const { version: number, notAfter } = version;
      log.info(
        { ...target, folder, version: number, notAfter },
        "a new version came from a folder",
      );
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.code === "certificate_not_found") {
        this.#watched.delete(certificateId);
        return;
      }
      // The files are a version of this certificate already, from the API or from before a restart.
      const known =
        error.code === "certificate_duplicate" && error.facts["certificateId"] === certificateId;
      if (!known) throw error;
    }
    const takenOn = context.clock().toISOString();
    const change = { takenOn, failedOn: null, failure: null };
    await context.store.housekeep(({ db }) => updateSource(db, certificateId, change));
  }

  async #failed(row: CertificateSourceRow, error: unknown): Promise<void> {
    const { context, log } = this.#options;
    const { accountId, certificateId, folder } = row;
    const message = error instanceof Failure ? error.message : "internal error";
    const code = error instanceof Failure ? error.code : "internal";
    log.warn(
      { accountId, certificateId, folder, code, ...(code === "internal" && { err: error }) },
      `the certificate stays as it is: ${message}`,
    );
    const change = { failedOn: context.clock().toISOString(), failure: message };
    await context.store
      .housekeep(({ db }) => updateSource(db, certificateId, change))
      .catch((err: unknown) => log.error({ err }, "a failure was not written down"));
  }
}

const systemItself: Actor = {
  kind: "system",
  id: null,
  email: "folder@localhost",
  address: null,
};

function auditOf(
  action: AuditAction,
  { accountId, certificateId, folder }: CertificateSourceRow,
): Audit {
  return {
    by: ownerOfData,
    action,
    accountId,
    resource: { type: "certificate", id: certificateId, name: folder },
  };
}
