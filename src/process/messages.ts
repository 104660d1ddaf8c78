import { Failure, type FailureCode } from "../failures/failures.ts";

/** What a supervisor sends to a process of ours. */
export type ToProcess =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly method: string;
      readonly args: readonly unknown[];
    }
  /** The caller no longer waits for the answer. */
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "ping" }
  /** The answer to what it asked. */
  | { readonly kind: "told"; readonly id: number; readonly value: unknown }
  /** Finish what is in flight, and end. */
  | { readonly kind: "stop" };

/** What a process of ours sends to its supervisor. */
export type FromProcess =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: SentError }
  | { readonly kind: "pong" }
  | { readonly kind: "event"; readonly event: unknown }
  | { readonly kind: "ask"; readonly id: number; readonly question: unknown }
  /** An exception that nothing caught: the process ends itself. */
  | { readonly kind: "fatal"; readonly message: string; readonly stack: string };

/** An error between processes. Causes stay behind: they are for the log of where they arose. */
export interface SentError {
  /** Null: not a failure, but a bug. */
  readonly code: FailureCode | null;
  readonly message: string;
  readonly fix: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export function packError(error: unknown): SentError {
  if (error instanceof Failure) {
    const { code, message, fix, facts } = error;
    return { code, message, fix, facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: null, message, fix: "", facts: {} };
}

export function unpackError({ code, message, fix, facts }: SentError): Error {
  return code === null ? new Error(message) : new Failure(code, { message, fix, facts });
}
