import type { z } from "@hono/zod-openapi";
import type { Endpoint } from "../endpoint.ts";
import { accessResults } from "./access.ts";
import { certificateResults } from "./certificates.ts";
import type { Results } from "./common.ts";
import { databaseResults } from "./databases.ts";
import { hostResults } from "./hosts.ts";
import { routingResults } from "./routing.ts";
import { storageResults } from "./storage.ts";
import { workerResults } from "./workers.ts";
import { workflowResults } from "./workflows.ts";

const results: Results = {
  ...accessResults,
  ...certificateResults,
  ...workerResults,
  ...routingResults,
  ...hostResults,
  ...storageResults,
  ...databaseResults,
  ...workflowResults,
};

/**
 * What the operation answers with below `result`. Undefined: it is not described. Nothing checks answers
 * against it while the platform runs; the tests do, with everything that they are answered.
 */
export function resultOf({
  method,
  path,
}: Pick<Endpoint, "method" | "path">): z.ZodType | undefined {
  return results[`${method.toUpperCase()} ${path}`];
}

/** Modules, each a part, and not JSON. */
export function isForm({ method, path }: Pick<Endpoint, "method" | "path">): boolean {
  return method === "get" && /\/scripts\/\{script_name\}(\/content(\/v2)?)?$/.test(path);
}

/** That of the path of a request, whose parameters are filled in. */
export function describedAt(method: string, path: string): z.ZodType | undefined {
  const operation = `${method.toUpperCase()} ${path}`;
  const found = Object.entries(results).filter(([described]) =>
    new RegExp(`^${described.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(operation),
  );
  // `…/tokens/verify` is one, `…/tokens/{token_id}` another.
  return found.toSorted(
    ([one], [other]) => one.split("{").length - other.split("{").length,
  )[0]?.[1];
}
