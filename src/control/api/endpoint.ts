import type { z } from "@hono/zod-openapi";
import type { IncomingMessage } from "node:http";
import type { HeldUpload, KeyIntake } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import { SecretTexts } from "../../keys/secret-texts.ts";
import type { Caller } from "./auth.ts";
import type { HeldBytes } from "./body-shares.ts";
import { readChunks, readForm, readJson } from "./body.ts";
import { readSecretForm } from "./secret-form.ts";
import { type Answer, pageOf, type Paging, paging, windowOf } from "./envelope.ts";
import type { Scope } from "./scopes.ts";
import type { Window } from "../../store/database.ts";
import { isOneLine } from "./text.ts";

const MEBIBYTE = 1024 * 1024;

/**
 * One endpoint of the API. The router, the scope table and the OpenAPI document are made from the list of all
 * endpoints.
 */
export interface Endpoint {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** Below `/client/v4`, as OpenAPI writes it: `/accounts/{account_id}/workers/scripts`. */
  readonly path: string;
  readonly summary: string;
  /** The scope that a token needs. Null: any valid token. */
  readonly scope: Scope | null;
  /** The endpoint takes its own kind of token instead of an API token, and the handler checks it. */
  readonly sessionToken?: true;
  readonly query?: z.ZodObject;
  /** A schema: JSON. `form`: multipart. Absent: the body is not read. */
  readonly body?: z.ZodType | "form";
  /** Bytes of a JSON body. Default: 1 MiB. */
  readonly bodyLimit?: number;
  /** The body may contain secrets: the intake reads it, and `texts` seals them. */
  readonly holdsSecrets?: true;
  readonly run: (call: RawCall) => Promise<Answer | Response>;
}

interface RawCall {
  readonly request: Request;
  /** Null: the request came over no connection. */
  readonly incoming: IncomingMessage | null;
  readonly intake: KeyIntake;
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly limits: BodyLimits;
  /** Held until the call is answered. */
  readonly held: HeldBytes;
}

interface BodyLimits {
  /** Largest script upload, in bytes. */
  readonly script: number;
}

export interface Call<Q, B> {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  /** Of a list: the rows that were asked for. Null: all of them. */
  readonly window: Window | null;
  readonly body: B;
  readonly request: Request;
  readonly incoming: IncomingMessage | null;
  readonly held: HeldBytes;
  /** The secrets of the body, if the endpoint has `holdsSecrets`. */
  readonly texts: SecretTexts;
}

type Output<T> = T extends z.ZodType ? z.output<T> : T extends "form" ? FormData : undefined;

/** An endpoint whose handler gets the request as parsed by its schemas. */
export function endpoint<
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | "form" | undefined = undefined,
>(
  spec: Omit<Endpoint, "run" | "query" | "body"> & { query?: Q; body?: B },
  handle: (call: Call<Output<Q>, Output<B>>) => Answer | Response | Promise<Answer | Response>,
): Endpoint {
  const { query, body, bodyLimit = MEBIBYTE, ...rest } = spec;
  return {
    ...rest,
    ...(query && { query }),
    ...(body && { body }),
    run: async ({ request, incoming, caller, params, limits, held, intake }) => {
      const search = Object.fromEntries(new URL(request.url).searchParams);
      for (const text of [...Object.values(params), ...Object.values(search)]) {
        if (isOneLine(text)) continue;
        throw new Failure("request_invalid", { message: "the URL has control characters" });
      }
      const pages = { page: search["page"], per_page: search["per_page"] };
      const page = parse(paging, pages, "query") as Paging;
      const asked = (query ? parse(query, search, "query") : undefined) as Output<Q>;
      const bounds = { ...limits, held, json: bodyLimit };
      const read = rest.holdsSecrets
        ? await parseSecretBody(body, { request, incoming, intake, bounds })
        : { body: await parseBody(body, request, bounds), texts: new SecretTexts() };
      using texts = read.texts;
      const answer = await handle({
        request,
        incoming,
        held,
        caller,
        params,
        query: asked,
        window: windowOf(page),
        body: read.body as Output<B>,
        texts,
      });
      if (answer instanceof Response) return answer;
      return answer.isList || answer.total !== undefined ? pageOf(answer, page) : answer;
    },
  };
}

/**
 * An endpoint whose JSON body contains a private key. The intake holds the key as long as the handler runs; `body` is
 * the rest.
 */
export function keyEndpoint<B extends z.ZodType>(
  spec: Omit<Endpoint, "run" | "query" | "body"> & { body: B },
  handle: (call: Call<undefined, z.output<B>> & { readonly upload: HeldUpload }) => Promise<Answer>,
): Endpoint {
  const { body, bodyLimit = MEBIBYTE, ...rest } = spec;
  const plain = endpoint(rest, () => ({ result: null }));
  return {
    ...rest,
    body,
    run: async (raw) => {
      await plain.run(raw);
      const { intake, limits: _, ...call } = raw;
      const chunks = readChunks(raw.request, raw.incoming, { limit: bodyLimit, held: raw.held });
      using upload = await intake.receive(chunks);
      const fields = parse(body, upload.fields, "body") as z.output<B>;
      const texts = new SecretTexts();
      return await handle({ ...call, query: undefined, window: null, body: fields, upload, texts });
    },
  };
}

async function parseBody(
  body: z.ZodType | "form" | undefined,
  request: Request,
  { script, json: largest, held }: BodyLimits & { readonly json: number; readonly held: HeldBytes },
): Promise<unknown> {
  if (body === undefined) return undefined;
  if (body === "form") return readForm(request, { limit: script, held });
  const json = await readJson(request, { limit: largest, held }, body.safeParse(undefined).success);
  return parse(body, json, "body");
}

interface SecretBody {
  readonly request: Request;
  readonly incoming: IncomingMessage | null;
  readonly intake: KeyIntake;
  readonly bounds: BodyLimits & { readonly json: number; readonly held: HeldBytes };
}

async function parseSecretBody(
  schema: z.ZodType | "form" | undefined,
  { request, incoming, intake, bounds }: SecretBody,
): Promise<{ readonly body: unknown; readonly texts: SecretTexts }> {
  const { script, json, held } = bounds;
  if (schema === undefined) return { body: undefined, texts: new SecretTexts() };
  if (schema === "form") {
    const chunks = readChunks(request, incoming, { limit: script, held });
    return await readSecretForm(request, chunks, intake);
  }
  const chunks = readChunks(request, incoming, { limit: json, held });
  const { fields, sealed } = await intake.receiveTexts(chunks);
  return { body: parse(schema, fields, "body"), texts: new SecretTexts(sealed) };
}

/** @throws Failure `request_invalid`, naming the first wrong field */
function parse(schema: z.ZodType, value: unknown, where: "query" | "body"): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Failure("request_invalid", {
    message: `the ${where} is not as the endpoint takes it: ${firstIssue(parsed.error)}`,
  });
}

export function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue?.path.join(".") ?? "";
  const message = issue?.message.replace(/^Invalid input: /, "") ?? "";
  return path === "" ? message : `"${path.slice(0, 100)}" ${message}`;
}
