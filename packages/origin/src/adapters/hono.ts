import type { IncomingMessage } from "node:http";
import { Authorizer, isRefusal, type DecisionCount, type PolicySource } from "../authorizer.ts";
import type { Caller } from "../caller.ts";
import { prover } from "../prove.ts";
import type { AuthorizeOptions } from "./node.ts";
import { refusalResponse } from "./worker.ts";

export { follow } from "../follow.ts";
export { followTrust, secureServerOptions } from "../tls.ts";

/** What this needs of Hono's context. */
interface ContextLike {
  readonly req: { readonly raw: Request; readonly method: string };
  readonly env: unknown;
  set(key: "caller", value: Caller | null): void;
}

/**
 * Middleware for Hono on Node (`@hono/node-server`): `app.use(authorize(policy))`, then
 * `c.get("caller")`. In a Worker, `countersign-origin/worker` reads `request.cf` instead.
 */
export function authorize(
  policy: PolicySource,
  options: AuthorizeOptions = {},
): ((context: ContextLike, next: () => Promise<void>) => Promise<Response | void>) & {
  decisions(): DecisionCount[];
} {
  const authorizer = new Authorizer(policy, options);
  const prove = prover(options);
  const middleware = async (
    context: ContextLike,
    next: () => Promise<void>,
  ): Promise<Response | void> => {
    const { incoming } = context.env as { incoming?: IncomingMessage };
    if (incoming === undefined)
      throw new TypeError("countersign-origin/hono needs @hono/node-server");
    const judged = authorizer.judge(prove(incoming), {
      method: context.req.method,
      path: incoming.url ?? "",
    });
    if (isRefusal(judged)) return refusalResponse(judged);
    context.set("caller", judged);
    return next();
  };
  return Object.assign(middleware, { decisions: () => authorizer.decisions() });
}
