import { OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Endpoint } from "./endpoint.ts";

/** The document at `/client/v4/openapi.json`: made from the endpoints, so it cannot drift. */
export function openApiDocument(endpoints: readonly Endpoint[], base: string): object {
  const api = new OpenAPIHono();
  const registry = api.openAPIRegistry;
  registry.registerComponent("securitySchemes", "api_token", { type: "http", scheme: "bearer" });
  for (const endpoint of endpoints) registry.registerPath(pathOf(endpoint));
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

function pathOf({ method, path, summary, scope, query, body }: Endpoint): RouteConfig {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
  return {
    method,
    path,
    summary,
    security: [{ api_token: scope === null ? [] : [scope] }],
    request: {
      ...(names.length > 0 && {
        params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))),
      }),
      ...(query && { query }),
      ...(body && { body: { required: true, content: contentOf(body) } }),
    },
    responses: {
      200: { description: "Done", content: { "application/json": { schema: envelope } } },
      default: { description: "Refused", content: { "application/json": { schema: envelope } } },
    },
  };
}

function contentOf(body: NonNullable<Endpoint["body"]>): Record<string, { schema: z.ZodType }> {
  if (body !== "form") return { "application/json": { schema: body } };
  return { "multipart/form-data": { schema: z.object({ metadata: z.string() }).loose() } };
}

const entry = z.object({ code: z.number().int(), message: z.string() });

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(entry),
  messages: z.array(entry),
  result: z.unknown(),
  result_info: z.record(z.string(), z.unknown()).optional(),
});
