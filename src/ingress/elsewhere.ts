import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { asError, guarded } from "../forward/guarded.ts";
import type { FailureCode } from "../failures/failures.ts";
import { redirect } from "./redirect.ts";
import { refuse } from "./refuse.ts";

/** What no Worker has a part in. */
export type Elsewhere =
  /** Answered here, to anybody. */
  | { readonly kind: "answer"; readonly json: string }
  /** Refused, later. */
  | { readonly kind: "held"; readonly code: Promise<FailureCode> }
  | { readonly kind: "redirect"; readonly to: URL }
  | { readonly kind: "proof"; readonly text: string };

/** How a request came. */
export interface Arrival {
  /** The other end of the connection, or what a trusted proxy said of it. */
  readonly peer: string | undefined;
  /** Null: plain HTTP. */
  readonly tls: TLSSocket | null;
  /** The client waits for leave to send its body. */
  readonly expectsContinue?: boolean;
  /** It has waited for its Worker to start. */
  readonly hasWaited?: true;
}

export interface IncomingExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly ray: string;
}

/** The Worker is being started. Null: it has started, and can be found now. */
export interface Starting {
  readonly kind: "starts";
  readonly ready: Promise<FailureCode | null>;
}

export function isStarting(found: object): found is Starting {
  return "kind" in found && found.kind === "starts";
}

/** Handles a request that waited for its Worker to start, unless its client is gone. */
export async function afterStart(
  { ready }: Starting,
  { socket }: IncomingMessage,
  then: { again(this: void): void; refused(this: void, code: FailureCode): void },
): Promise<void> {
  const code = await ready;
  if (socket.destroyed) return;
  guarded(socket, () => (code === null ? then.again() : then.refused(code)))();
}

/** An exception while handling one request ends only this request. */
export function alone({ request, response, ray }: IncomingExchange, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (response.headersSent) response.destroy(asError(error));
    else refuse(request, response, "internal", ray);
  }
}

export async function answerElsewhere(
  exchange: IncomingExchange,
  target: Elsewhere,
): Promise<void> {
  const { request, response, ray } = exchange;
  switch (target.kind) {
    case "redirect":
      return redirect(request, response, target.to, ray);
    case "held": {
      const code = await target.code;
      if (!response.destroyed && !response.headersSent) refuse(request, response, code, ray);
      return;
    }
    case "proof":
      return send(exchange, target.text, { "content-type": "application/octet-stream" });
    case "answer":
      return send(exchange, target.json, {
        "content-type": "application/json",
        "access-control-allow-origin": "*",
        "cache-control": "public, max-age=60",
      });
  }
}

function send(
  { request, response, ray }: IncomingExchange,
  text: string,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(200, {
    ...headers,
    "content-length": Buffer.byteLength(text),
    "cf-ray": ray,
  });
  response.end(request.method === "HEAD" ? undefined : text);
}
