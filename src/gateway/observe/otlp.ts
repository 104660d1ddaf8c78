/** Loaded only if spans are exported, because the libraries take time and memory. */
import type { IncomingMessage } from "node:http";
import {
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from "@opentelemetry/api";
import { setGlobalErrorHandler, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";
import type { FailureCode } from "../../failures/failures.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";
import type { RequestSpan, Tracing } from "./tracing.ts";
import { unbracketed } from "../../network/unbracketed.ts";

/**
 * Exports spans with OTLP over HTTP, as JSON. A parent decides whether its children are sampled;
 * a request without one is.
 * @param endpoint the collector's base URL: `/v1/traces` is appended to its path
 */
export function otlpTracing(endpoint: string, log: Logger): Tracing {
  setGlobalErrorHandler((error) => {
    // Nothing else of it: it may quote what a collector answered.
    log.warn({ reason: reasonOf(error) }, "spans could not be exported");
  });
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({ "service.name": "countersign-gateway" }),
    ),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: tracesUrl(endpoint) }),
        scheduledDelayMillis: 1_000,
      }),
    ],
  });
  const tracer = provider.getTracer("countersign");
  return {
    route: (binding, origin, version) => {
      const attributes = routeAttributes(binding, origin, version);
      return { start: (request) => startSpan(tracer, attributes, request) };
    },
    [Symbol.asyncDispose]: () => flushed(provider),
  };
}

/** In ms: the supervisor ends a gateway that takes 2,000 to stop. */
const FLUSH = 1_000;

async function flushed(provider: TracerProvider): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, FLUSH);
  // The log has said already that the collector is away.
  await Promise.race([provider.shutdown().catch(() => {}), timeout.promise]);
  clearTimeout(timer);
}

function tracesUrl(endpoint: string): string {
  return `${endpoint.replace(/\/+$/, "")}/v1/traces`;
}

/** Never a path or a query: they may hold what is secret. */
function routeAttributes(
  binding: GatewayBinding,
  origin: string,
  version: number | null,
): Attributes {
  const url = URL.parse(origin);
  return {
    ...(url !== null && {
      "url.scheme": url.protocol.slice(0, -1),
      "server.address": unbracketed(url.hostname),
      "server.port": portOf(url),
    }),
    "countersign.script": binding.scriptName,
    "countersign.binding": binding.bindingName,
    "countersign.certificate_id": binding.certificateId,
    ...(version !== null && { "countersign.certificate_version": version }),
  };
}

function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "http:" ? 80 : 443;
}

function startSpan(tracer: Tracer, route: Attributes, request: IncomingMessage): RequestSpan {
  const parent = propagator.extract(ROOT_CONTEXT, request.headers, headerGetter);
  const method = request.method!;
  const known = METHODS.has(method);
  const span = tracer.startSpan(
    known ? method : "HTTP",
    {
      kind: SpanKind.CLIENT,
      attributes: known
        ? { ...route, "http.request.method": method }
        : {
            ...route,
            "http.request.method": "_OTHER",
            "http.request.method_original": method,
          },
    },
    parent,
  );
  return new OtlpSpan(span, parent);
}

class OtlpSpan implements RequestSpan {
  readonly headers: readonly string[];
  readonly #span: Span;

  constructor(span: Span, parent: Context) {
    this.#span = span;
    const own: Record<string, string> = {};
    propagator.inject(trace.setSpan(parent, span), own, defaultTextMapSetter);
    this.headers = Object.entries(own)
      .filter(([, value]) => value !== "")
      .flat();
  }

  answered(status: number): void {
    this.#span.setAttribute("http.response.status_code", status);
    if (status >= 400) this.#error(String(status));
  }

  failed(code: FailureCode): void {
    this.#error(code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    this.#span.end();
  }

  ended(): void {
    this.#span.end();
  }

  #error(type: string): void {
    this.#span.setAttribute("error.type", type);
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }
}

const propagator: W3CTraceContextPropagator = new W3CTraceContextPropagator();

const headerGetter = {
  get: (headers: IncomingMessage["headers"], name: string): string | string[] | undefined =>
    headers[name],
  keys: (headers: IncomingMessage["headers"]): string[] => Object.keys(headers),
};

/** What the semantic conventions know; a Worker's own methods would be names without number. */
const METHODS: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "QUERY",
  "TRACE",
]);

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  // Of the system, or the status that the collector answered with.
  const { code } = error as { code?: string | number };
  return String(code ?? error.name);
}
