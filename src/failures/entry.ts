/**
 * Who has to act: the sender of the request, the origin, the author of the Worker, or the operator
 * of the platform.
 */
export type Side = "caller" | "origin" | "worker" | "platform";

export interface FailureEntry {
  readonly side: Side;
  /** HTTP status of the API's or the Worker's response. */
  readonly status: number;
  /** The number in the v4 envelope. Cloudflare's where it is public, else ours (from 7000000 on). */
  readonly number: number;
  /** What happened, in a few words, without a full stop. */
  readonly title: string;
  /** Why this usually happens: a sentence or two. */
  readonly cause: string;
  /** What to do: a sentence that can be followed. */
  readonly fix: string;
}
