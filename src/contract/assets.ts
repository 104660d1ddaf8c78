/** A file that a version serves, told apart by what is in it. */
export interface AssetFile {
  /** As requests name it, decoded: `/docs/a b.html`. */
  readonly path: string;
  /** 32 hex digits that the uploader made of its content. */
  readonly hash: string;
  /** Bytes. */
  readonly size: number;
}

/** The content alone, whatever paths lead to it. */
export type AssetContent = Pick<AssetFile, "hash" | "size">;

/** How files are found, as Wrangler's `assets` says it. What is absent is Cloudflare's default. */
export interface AssetsConfig {
  readonly html_handling?: string;
  readonly not_found_handling?: string;
  readonly base_path?: string;
  /** Whether the Worker comes before the files, everywhere or where a pattern matches. */
  readonly run_worker_first?: boolean | readonly string[];
  /** The text of the project's `_headers`. */
  readonly headers?: string;
  /** The text of the project's `_redirects`. */
  readonly redirects?: string;
}

/** The static assets of a version. */
export interface WorkerAssets {
  readonly files: readonly AssetFile[];
  readonly config: AssetsConfig;
}

/** The contents of an account's assets on this machine, each once. */
export interface AssetContents {
  /** The entries of `files` that are missing. */
  missing(accountId: string, files: readonly AssetContent[]): Promise<readonly AssetContent[]>;
  /**
   * Writes one down, whole or not at all.
   * @param most bytes that all of the account may take
   * @throws Failure `asset_unexpected` if it is not as large as it was announced, `assets_too_large`
   */
  put(
    accountId: string,
    file: AssetContent,
    content: AsyncIterable<Uint8Array>,
    most: number,
  ): Promise<void>;
  /** Bytes on the disk. */
  bytes(accountId: string): Promise<number>;
  /** Removes all others. */
  keepOnly(accountId: string, files: ReadonlySet<string>): Promise<void>;
}

/** The name under which `keepOnly` knows a content. */
export function contentKey({ hash, size }: AssetContent): string {
  return `${hash}-${size}`;
}

/** Bytes that a file takes on a disk. */
export function bytesOnDisk(size: number): number {
  return Math.max(1, Math.ceil(size / BLOCK)) * BLOCK;
}

const BLOCK = 4096;
