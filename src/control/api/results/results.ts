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
 * The schema of an operation's `result`. Undefined: it is not described. Answers are not checked against it at run
 * time; the tests check every answer that they get.
 */
export function resultOf({
  method,
  path,
}: Pick<Endpoint, "method" | "path">): z.ZodType | undefined {
  return results[`${method.toUpperCase()} ${path}`];
}

/** Operations that answer with a form with one part for each module, not with JSON. */
export function isForm({ method, path }: Pick<Endpoint, "method" | "path">): boolean {
  return method === "get" && /\/scripts\/\{script_name\}(\/content(\/v2)?)?$/.test(path);
}

/** The schema for the path of a request, whose parameters are filled in. */
export function describedAt(method: string, path: string): z.ZodType | undefined {
  const operation = `${method.toUpperCase()} ${path}`;
  const found = Object.entries(results).filter(([described]) =>
    new RegExp(`^${described.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(operation),
  );
  // `…/tokens/verify` fits two paths; the one without a parameter, not `…/tokens/{token_id}`, is meant.
  return found.toSorted(
    ([one], [other]) => one.split("{").length - other.split("{").length,
  )[0]?.[1];
}
