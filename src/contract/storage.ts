/** What an account's storage keeps. A resource of each has an id that is never used again. */
export type StorageKind = "kv" | "d1" | "r2" | "queue" | "rate-limit" | "analytics";

/** One request to one resource, as its binding speaks HTTP with it. */
export interface StorageRequest {
  readonly accountId: string;
  readonly kind: StorageKind;
  readonly id: string;
  /** Whether everything in it is deleted, instead of the request. */
  readonly destroys?: boolean;
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** With its query: `/key?expiration_ttl=60`. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Chunks are taken as fast as the storage keeps them; `content-length` says how many bytes they are. */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
}

export interface StorageAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  /** A caller that does not read all of it must end the iterator. */
  readonly body: AsyncIterable<Uint8Array>;
}
