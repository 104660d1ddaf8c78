import type { IncomingMessage } from "node:http";
import { Authorizer, isRefusal, type DecisionCount, type PolicySource } from "../authorizer.ts";
import type { Caller } from "../caller.ts";
import { prover } from "../prove.ts";
import type { AuthorizeOptions } from "./node.ts";

export { follow } from "../follow.ts";
export { followTrust, secureServerOptions } from "../tls.ts";

/** What this needs of Fastify's request and reply. */
interface RequestLike {
  readonly raw: IncomingMessage;
  readonly method: string;
  readonly originalUrl: string;
  caller?: Caller | null;
}

interface ReplyLike {
  code(status: number): ReplyLike;
  header(name: string, value: string): ReplyLike;
  send(payload: unknown): unknown;
}

/** A Fastify hook: `app.addHook("onRequest", authorize(policy))`. `request.caller` is the caller that was proven. */
export function authorize(
  policy: PolicySource,
  options: AuthorizeOptions = {},
): ((request: RequestLike, reply: ReplyLike) => Promise<unknown>) & {
  decisions(): DecisionCount[];
} {
  const authorizer = new Authorizer(policy, options);
  const prove = prover(options);
  const hook = async (request: RequestLike, reply: ReplyLike): Promise<unknown> => {
    const { raw, method, originalUrl } = request;
    const judged = authorizer.judge(prove(raw), { method, path: originalUrl });
    if (!isRefusal(judged)) {
      request.caller = judged;
      return undefined;
    }
    const { status, code, reason } = judged;
    if (status === 401) reply.header("connection", "close");
    return reply
      .code(status)
      .header("cache-control", "no-store")
      .send({ error: { code, message: reason } });
  };
  return Object.assign(hook, { decisions: () => authorizer.decisions() });
}
