import { OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Endpoint } from "./endpoint.ts";
import { isForm, resultOf } from "./results/results.ts";

/** The document at `/client/v4/openapi.json`. It is made from the endpoints, so it cannot differ from them. */
export function openApiDocument(endpoints: readonly Endpoint[], base: string): object {
  const api = new OpenAPIHono();
  const registry = api.openAPIRegistry;
  registry.registerComponent("securitySchemes", "api_token", { type: "http", scheme: "bearer" });
  for (const endpoint of endpoints) {
    // A path with a slash at its end is wrangler's spelling of the same operation.
    if (!endpoint.path.endsWith("/")) registry.registerPath(pathOf(endpoint));
  }
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Countersign",
      version: "4",
      description: "The part of Cloudflare's v4 API that Workers and their certificates need.",
    },
    servers: [{ url: base }],
  });
}

function pathOf(endpoint: Endpoint): RouteConfig {
  const { method, path, summary, scope, query, body } = endpoint;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
  return {
    method,
    path,
    summary,
    operationId: operationId(method, path),
    tags: [tagOf(path)],
    security: [{ api_token: scope === null ? [] : [scope] }],
    request: {
      ...(names.length > 0 && {
        params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))),
      }),
      ...(query && { query }),
      ...(body && { body: { required: true, content: contentOf(body) } }),
    },
    responses: {
      200: { description: "Done", content: answerOf(endpoint) },
      default: { description: "Refused", content: { "application/json": { schema: refusal } } },
    },
  };
}

function answerOf(endpoint: Endpoint): Record<string, { schema: z.ZodType }> {
  if (isForm(endpoint)) {
    return { "multipart/form-data": { schema: z.record(z.string(), z.string()) } };
  }
  if (endpoint.path.endsWith("/countersign/metrics")) {
    return { "text/plain": { schema: z.string() } };
  }
  if (endpoint.method === "get" && /\{(key_name|object_key)\}$/.test(endpoint.path)) {
    if (resultOf(endpoint) === undefined) {
      return { "application/octet-stream": { schema: z.string() } };
    }
  }
  const result = resultOf(endpoint);
  return { "application/json": { schema: result ? envelope.extend({ result }) : envelope } };
}

/**
 * The operation's name in a generated client: `putAccountsWorkersScriptsByScriptName`. Unique, because each pair of
 * method and path is.
 */
function operationId(method: string, path: string): string {
  const words = path
    .replace("/accounts/{account_id}/", "/accounts/")
    .replaceAll(/\{(\w+)\}/g, "by_$1")
    .split(/[^a-zA-Z0-9]+|_/)
    .filter((word) => word !== "");
  return method + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}

/** The product that an operation belongs to. */
function tagOf(path: string): string {
  const [, product = "accounts"] =
    /^\/accounts\/\{account_id\}\/(\w+)/.exec(path) ?? /^\/(\w+)/.exec(path) ?? [];
  return product;
}

function contentOf(body: NonNullable<Endpoint["body"]>): Record<string, { schema: z.ZodType }> {
  if (body !== "form") return { "application/json": { schema: body } };
  return { "multipart/form-data": { schema: z.object({ metadata: z.string() }).loose() } };
}

const message = z.object({ code: z.number().int(), message: z.string() }).openapi("Message");

const problem = message
  .extend({
    meta: z.object({ failure: z.string(), fix: z.string() }).loose().optional(),
  })
  .openapi("Problem");

const pages = z
  .object({
    page: z.number().int(),
    per_page: z.number().int(),
    count: z.number().int(),
    total_count: z.number().int(),
    total_pages: z.number().int(),
  })
  .partial()
  .openapi("Pages");

const refusal = z
  .object({
    success: z.literal(false),
    errors: z.array(problem),
    messages: z.array(message),
    result: z.null(),
  })
  .openapi("Refusal");

const envelope = z
  .object({
    success: z.literal(true),
    errors: z.array(problem),
    messages: z.array(message),
    result: z.unknown(),
    result_info: pages.optional(),
  })
  .openapi("Envelope");
