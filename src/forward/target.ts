import type { IncomingMessage, ServerResponse } from "node:http";
import type { Transform } from "node:stream";
import type { Dispatcher } from "undici";
import type { HeaderNames } from "./headers.ts";
import type { Patience } from "./patience.ts";

/** Where one request goes. There is one object per request, so it may hold state of the caller. */
export interface ForwardTarget {
  /** A dispatcher of one origin (undici's `Pool` or `Client`). Read again for each attempt. */
  readonly dispatcher: Dispatcher;
  /** Path and query, beginning with a slash. */
  readonly path: string;
  /** The `Host` to send. Null: the dispatcher's own. Undefined: the one that came. */
  readonly host?: string | null | undefined;
  /** Lower-case names of request headers to leave out. */
  readonly dropped?: HeaderNames | undefined;
  /** Flat name, value … to send besides. */
  readonly added?: readonly string[] | undefined;
  /** Bytes of the request's body: one that has more fails with it. 0 or absent: no limit. */
  readonly mostBody?: number;
  /** How long it is waited for. Default: as long as it takes. */
  readonly patience?: Patience | undefined;
  /** Set by a server's `checkContinue` handler: the client waits before it sends the body. */
  readonly expectsContinue?: boolean;
  /**
   * Nothing was sent to the client yet: answer it here. `error` is undici's, the connector's, or
   * what the dispatcher refused (`UND_ERR_INVALID_ARG`).
   */
  failed(error: Error, request: IncomingMessage, response: ServerResponse): void;
  /**
   * The final response's head, before it is sent. `headers` is flat and may be changed. What is
   * returned makes the body's transformation, once its first bytes have come.
   */
  answered?(status: number, headers: string[], request: IncomingMessage): MakeTransform | void;
  /**
   * The exchange is over. `error` is null if the response went out whole; else the client's
   * connection was cut in the middle of it, or the client went away. Not called after `failed`.
   */
  ended?(error: Error | null): void;
  /**
   * May the request be sent again after `error`, which came before a response did? Asked only
   * where all of the body is still at hand. Default: never.
   */
  mayRetry?(error: Error, attempt: Attempt): boolean;
}

/** What has failed. */
export interface Attempt {
  /** GET, HEAD, OPTIONS or TRACE, without a body: it may be processed twice (RFC 9110, 9.2.2). */
  readonly isSafe: boolean;
  readonly hasBody: boolean;
  /** How many times it was sent before. */
  readonly retries: number;
}

/** May it be processed twice? (RFC 9110, 9.2.2) */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS" || method === "TRACE";
}

/** Makes what a response's body goes through on its way to the client. */
export type MakeTransform = () => Transform;
