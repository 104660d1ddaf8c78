import type { ScriptKey } from "./change-feed.ts";
import type { LogEntry } from "./worker-log.ts";

/** The logs of Workers, as they are kept. */
export interface Journal {
  /** Oldest first: the newest of those that match. */
  read(key: ScriptKey, query: JournalQuery): Promise<readonly KeptEntry[]>;
  /**
   * Hears of each entry from now on, kept or not, until the result is called.
   */
  listen(key: ScriptKey, heard: (entry: LogEntry) => void): () => void;
  /** Keeps every entry for so many ms: somebody reads on here. */
  keepAll(key: ScriptKey, ms: number): void;
  /** The Worker was deleted; deletes its log. */
  remove(key: ScriptKey): Promise<void>;
}

export interface JournalQuery {
  /** Unix time in ms. Default: all that is kept. */
  readonly since?: number;
  readonly until?: number;
  /** Newer than this entry. */
  readonly after?: string;
  /** Of this request alone, with the failures of the gateway that its client got. */
  readonly ray?: string;
  /** At most; 1 to 1000. */
  readonly limit: number;
}

export type KeptEntry = LogEntry & {
  /** Later ones are greater, as text. */
  readonly id: string;
};

export type TailFilter =
  | { readonly sampling_rate: number }
  | { readonly outcome: Words }
  | { readonly method: Words }
  | { readonly header: { readonly key: string; readonly query?: string | undefined } }
  | { readonly client_ip: Words }
  | { readonly query: string }
  | { readonly scriptVersion: string };

export type Words = string | readonly string[];

/** Those who read logs as they come. A Worker tells of its calls only while somebody does. */
export interface TailService {
  /** The Worker tells of its calls on return. @throws Failure `tail_limit` */
  create(key: ScriptKey, asked: TailRequest): Promise<Tail>;
  list(key: ScriptKey): readonly Tail[];
  /** @throws Failure `tail_not_found` */
  delete(key: ScriptKey, id: string): void;
  /** The Worker reports its calls for a while. A reader that continues calls this again. */
  follow(key: ScriptKey): Promise<void>;
}

export interface TailRequest {
  readonly filters: readonly TailFilter[];
  /** The address of the reader, for which `self` stands. Null: not known. */
  readonly address: string | null;
}

export interface Tail {
  readonly id: string;
  /** For a WebSocket: a client that has this token may read. */
  readonly url: string;
  readonly expiresAt: Date;
}
