import type { IncomingMessage, ServerResponse } from "node:http";
import {
  Authorizer,
  isRefusal,
  refusalBody,
  type AuthorizerOptions,
  type DecisionCount,
  type PolicySource,
  type Refusal,
} from "../authorizer.ts";
import type { Caller } from "../caller.ts";
import { prover, type ProofOptions } from "../prove.ts";

export { follow } from "../follow.ts";
export { followTrust, secureServerOptions } from "../tls.ts";
export type { ProofOptions, ProxyOptions } from "../prove.ts";

export interface AuthorizeOptions extends AuthorizerOptions, ProofOptions {}

/** A request that passed. `caller` is null only where `dryRun` let an unproven one through. */
export type AuthorizedRequest = IncomingMessage & { readonly caller: Caller | null };

export interface Guard {
  /** As middleware of Connect and Express. */
  (request: IncomingMessage, response: ServerResponse, next: () => void): void;
  /** Wraps a handler of node:http or node:https, which then gets only requests that the policy allows. */
  handler(
    handle: (request: AuthorizedRequest, response: ServerResponse) => void,
  ): (request: IncomingMessage, response: ServerResponse) => void;
  decisions(): DecisionCount[];
}

/**
 * Passes on requests that the policy allows, and answers all others with 401 or 403, with a code and the rule that was
 * missing.
 * @throws PolicyError · TypeError if the proxy's options name no proxy
 */
export function authorize(policy: PolicySource, options: AuthorizeOptions = {}): Guard {
  const authorizer = new Authorizer(policy, options);
  const prove = prover(options);
  const judge = (request: IncomingMessage): Caller | Refusal | null =>
    authorizer.judge(prove(request), { method: request.method ?? "", path: targetOf(request) });
  const lets = (
    request: IncomingMessage & { caller?: Caller | null },
    response: ServerResponse,
  ): boolean => {
    const judged = judge(request);
    if (isRefusal(judged)) {
      refuse(response, judged);
      return false;
    }
    request.caller = judged;
    return true;
  };
  const guard = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    if (lets(request, response)) next();
  };
  return Object.assign(guard, {
    handler:
      (handle: (request: AuthorizedRequest, response: ServerResponse) => void) =>
      (request: IncomingMessage, response: ServerResponse) => {
        if (lets(request, response)) handle(request as AuthorizedRequest, response);
      },
    decisions: () => authorizer.decisions(),
  });
}

/** Express removes a router's own path from `url`, and keeps the whole target in `originalUrl`. */
function targetOf(request: IncomingMessage & { readonly originalUrl?: string }): string {
  return request.originalUrl ?? request.url ?? "";
}

export function refuse(response: ServerResponse, refusal: Refusal): void {
  const body = refusalBody(refusal);
  response.writeHead(refusal.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    // The rest of the request is not read, so the connection of an unproven caller is not kept.
    ...(refusal.status === 401 && { connection: "close" }),
  });
  response.end(body);
}
