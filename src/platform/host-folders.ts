import { createHash, X509Certificate } from "node:crypto";
import type { Logger } from "pino";
import type { JudgedLeaf, KeyIntake } from "../certificates/key-intake.ts";
import { listFolder, readPair, wipe, type PairNames } from "../certificates/pair-files.ts";
import { FolderSource } from "../certificates/source-folder.ts";
import { intakeHere } from "../certificates/upload-text.ts";
import { ownerOfData } from "../control/api/auth.ts";
import { shownHostCertificate } from "../control/routing/custom-certificates.ts";
import { presentAt, type TakingContext } from "../control/routing/host-certificate-taking.ts";
import { Failure } from "../failures/failures.ts";
import { hostPattern } from "../network/host-pattern.ts";
import type { Actor } from "../store/access/audit.ts";
import { followedHostCertificates, hostsOf } from "../store/hosts/host-certificates.ts";
import { Rounds } from "./rounds.ts";

export interface HostFoldersOptions {
  readonly context: TakingContext;
  readonly log: Logger;
  /** The process that may read private keys. Default: this one. */
  readonly intake?: KeyIntake;
  /** ms between two looks at each folder. Default: 1,000. */
  readonly interval?: number;
  /** How long another program may leave a folder in an inconsistent state, ms. Default: 10,000. */
  readonly patience?: number;
}

export interface FollowedFolder {
  readonly accountId: string;
  readonly host: string;
  /** Absolute. */
  readonly folder: string;
}

type Followed = Awaited<ReturnType<typeof followedHostCertificates>>[number];

interface Watched {
  readonly folder: string;
  readonly source: FolderSource;
}

/**
 * Folders on this machine that other programs renew, for what hosts present. The store says which
 * ones: if a host gets another certificate, or none, its folder is no longer followed. Only the
 * owner of the data folder may name a folder, because the files are read with the platform's
 * rights.
 */
export class HostFolders implements AsyncDisposable {
  readonly #options: HostFoldersOptions;
  /** By the id of the certificate. */
  readonly #watched = new Map<string, Watched>();
  readonly #failures = new Map<string, string>();
  readonly #rounds = new Rounds();

  static start(options: HostFoldersOptions): HostFolders {
    const { interval = 1_000, log } = options;
    const started = new HostFolders(options);
    started.#rounds.begin(() => started.#look(), {
      interval,
      failed: (err) => log.error({ err }, "hosts' folders are not read"),
    });
    return started;
  }

  private constructor(options: HostFoldersOptions) {
    this.#options = options;
  }

  /** Id of a host's certificate → why the folder's files are not presented. */
  get failures(): ReadonlyMap<string, string> {
    return this.#failures;
  }

  /**
   * Presents the certificate in the folder, now and after each renewal.
   * @throws Failure `folder_unreadable`, `host_certificate_unfit`, and as for any upload
   */
  async follow({ accountId, host: name, folder }: FollowedFolder): Promise<object> {
    const { context, intake = intakeHere } = this.#options;
    const host = parsedHost(name);
    const content = await readPair(folder, await namesFor(folder, host));
    try {
      using upload = await intake.receivePair(content);
      const judged = await upload.judge({ ca: false, now: context.clock() });
      const target = { accountId, host, by: ownerOfData };
      const row = await presentAt(context, target, judged, { source: "folder", folder });
      this.#failures.delete(row.id);
      return shownHostCertificate(row);
    } finally {
      wipe(content);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }

  async #look(): Promise<void> {
    const rows = await followedHostCertificates(this.#options.context.store.db);
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of [...this.#watched.keys(), ...this.#failures.keys()]) {
      if (ids.has(id)) continue;
      this.#watched.delete(id);
      this.#failures.delete(id);
    }
    for (const row of rows) {
      const known = this.#watched.get(row.id);
      const isSame = known?.folder === row.folder;
      const watched = isSame && known ? known : await this.#watch(row);
      await watched.source.look();
    }
  }

  async #watch(row: Followed): Promise<Watched> {
    const { context, patience, intake } = this.#options;
    const folder = row.folder ?? "";
    const host = hostsOf(row)[0] ?? "";
    const names = await namesFor(folder, host).catch(() => undefined);
    const source = new FolderSource({
      folder,
      ...(names && { names }),
      known: contentHash(row.chain),
      now: context.clock,
      ...(intake && { intake }),
      onVersion: (version) => this.#take(row, host, version),
      onFailure: (error) => this.#failed(row, host, error),
      ...(patience !== undefined && { patience }),
    });
    const watched = { folder, source };
    this.#watched.set(row.id, watched);
    return watched;
  }

  async #take({ id, accountId, folder }: Followed, host: string, leaf: JudgedLeaf): Promise<void> {
    const { context, log } = this.#options;
    const target = { accountId, host, by: systemItself };
    const { notAfter } = await presentAt(context, target, leaf, { source: "folder", folder });
    this.#failures.delete(id);
    log.info({ accountId, host, folder, notAfter }, "a host's certificate came from a folder");
  }

  #failed({ id, accountId, folder }: Followed, host: string, error: unknown): void {
    const isTold = error instanceof Failure;
    const message = isTold ? error.message : "internal error";
    this.#failures.set(id, message);
    this.#options.log.warn(
      { accountId, host, folder, ...(isTold ? { code: error.code } : { err: error }) },
      `the host presents the certificate before: ${message}`,
    );
  }
}

/** Lego writes all certificates into one folder, and names that of `*.example.com` `_.example.com.crt`. */
async function namesFor(folder: string, host: string): Promise<PairNames | undefined> {
  const base = host.replace("*", "_");
  const names = { certificate: `${base}.crt`, key: `${base}.key` };
  const present = await listFolder(folder);
  return present.includes(names.certificate) && present.includes(names.key) ? names : undefined;
}

/** The hash by which uploads are compared too. */
function contentHash(chain: string): string {
  const hash = createHash("sha256");
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  for (const pem of blocks) hash.update(new X509Certificate(pem).raw);
  return hash.digest("hex");
}

/** @throws Failure `host_certificate_unfit` */
function parsedHost(text: string): string {
  const { data, error } = hostPattern.safeParse(text);
  if (data !== undefined) return data;
  throw new Failure("host_certificate_unfit", {
    message: `"${text.slice(0, 253)}" ${error.issues[0]?.message}`,
  });
}

const systemItself: Actor = { kind: "system", id: null, email: "folder@localhost", address: null };
