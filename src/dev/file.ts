import { dirname, join, resolve } from "node:path";
import { findNodeAtLocation, parseTree, printParseErrorCode, type Node } from "jsonc-parser";
import type { ParseError } from "jsonc-parser";
import { z } from "zod";
import { Failure } from "../failures/failures.ts";
import { readTextIfThere } from "./text-file.ts";

/** What `countersign.json` says for one environment. Paths are absolute. */
export interface DevFile {
  /** Absolute. If the file does not exist, everything has its default. */
  readonly path: string;
  readonly bindings: Readonly<Record<string, DevFileBinding>>;
  /** Whether the Worker's identity names the Wrangler environment. */
  readonly identityEnvironments: boolean;
  /** CA files that origins are verified against, in addition to the public roots and the development CA. */
  readonly ca: readonly string[];
  /** Hosts (or `*.example.com`) that answer 520, as zones behind Cloudflare's proxy do. */
  readonly proxied: readonly string[];
  /**
   * Host of the Worker's URL → `host:port` to connect to instead. The certificate is still verified for the host in the
   * URL.
   */
  readonly hosts: Readonly<Record<string, string>>;
}

export interface DevFileBinding {
  readonly certificate?: DevFileCertificate | undefined;
  /** CA files that replace `ca` for this binding. */
  readonly ca?: readonly string[] | undefined;
  /** Hosts that the certificate may be presented to, `*.example.com` allowed. Default: any. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** The connection string of a `hyperdrive` binding's database. */
  readonly database?: string | undefined;
}

export type DevFileCertificate =
  | { readonly cert: string; readonly key?: string | undefined }
  | { readonly id: string }
  | { readonly name: string };

export const devFileName = "countersign.json";

const files = z
  .union([z.string().min(1), z.array(z.string().min(1))])
  .transform((value) => (typeof value === "string" ? [value] : value))
  .describe("One file or several, PEM, relative to this file");

const certificate = z
  .union([
    z.strictObject({
      cert: z.string().min(1).describe("PEM file with the leaf, its chain, and perhaps the key"),
      key: z.string().min(1).optional().describe("PEM file with the private key"),
    }),
    z.strictObject({ id: z.string().min(1).describe("Id in the running platform") }),
    z.strictObject({ name: z.string().min(1).describe("Name in the running platform") }),
  ])
  .describe("Default: a certificate of the project's development CA");

const host = z.string().regex(/^(\*\.)?[a-z0-9.-]+$/i, "is no host name");

const binding = z.strictObject({
  certificate: certificate.optional(),
  ca: files.optional().describe("Replaces `ca` for this binding"),
  allowedHosts: z.array(host).optional().describe("Hosts the certificate may be presented to"),
  database: z
    .string()
    .min(1)
    .optional()
    .describe("Of a `hyperdrive` binding: what `localConnectionString` would be"),
});

const settings = {
  bindings: z.record(z.string(), binding).optional().describe("By the name of the binding"),
  ca: files.optional().describe("CAs that origins are verified against, beside the public roots"),
  identityEnvironments: z
    .boolean()
    .optional()
    .describe("The Worker's identity names the Wrangler environment, as the platform's may"),
  proxied: z.array(host).optional().describe("Hosts that answer 520, as Cloudflare's proxy does"),
  hosts: z
    .record(host, z.string().regex(/^[^\s/]+:\d{1,5}$/, "is no host:port"))
    .optional()
    .describe("Host in the Worker's URL → host:port to connect to instead"),
};

const schema = z.strictObject({
  $schema: z.string().optional(),
  ...settings,
  env: z
    .record(z.string(), z.strictObject(settings))
    .optional()
    .describe("By Wrangler environment: what is given here replaces what is given above"),
});

type Settings = Pick<
  z.infer<typeof schema>,
  "identityEnvironments" | "bindings" | "ca" | "proxied" | "hosts"
>;

/** The JSON Schema of `countersign.json`, for editors. */
export function devFileSchema(): object {
  return { title: "countersign.json", ...z.toJSONSchema(schema, { io: "input" }) };
}

/**
 * Reads the `countersign.json` in `folder`. A missing file gives the defaults.
 * @throws Failure `dev_file_invalid` with file, line and column; `dev_file_unreadable`, `upload_too_large`
 */
export async function readDevFile(folder: string, environment?: string): Promise<DevFile> {
  const path = join(folder, devFileName);
  const text = await readTextIfThere(path);
  if (text === null) {
    return { path, bindings: {}, identityEnvironments: false, ca: [], proxied: [], hosts: {} };
  }
  const parsed = parse(path, text);
  const own = environment === undefined ? undefined : ofEnvironment(parsed.env, environment);
  return absolute(path, {
    bindings: { ...parsed.bindings, ...own?.bindings },
    identityEnvironments: own?.identityEnvironments ?? parsed.identityEnvironments,
    ca: own?.ca ?? parsed.ca,
    proxied: own?.proxied ?? parsed.proxied,
    hosts: own?.hosts ?? parsed.hosts,
  });
}

function ofEnvironment<T>(all: Readonly<Record<string, T>> = {}, name: string): T | undefined {
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

function parse(path: string, text: string): z.infer<typeof schema> {
  try {
    return parseShallow(path, text);
  } catch (error) {
    if (error instanceof RangeError) throw invalid(path, text, 0, "it is nested too deeply");
    throw error;
  }
}

function parseShallow(path: string, text: string): z.infer<typeof schema> {
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { allowTrailingComma: true });
  const [syntax] = errors;
  if (tree === undefined || syntax !== undefined) {
    const what = syntax ? printParseErrorCode(syntax.error) : "it is empty";
    throw invalid(path, text, syntax?.offset ?? 0, what);
  }
  const result = schema.safeParse(valueOf(tree));
  if (result.success) {
    return result.data;
  }
  const issue = deepest(result.error.issues);
  const where = issue.path.filter((step) => typeof step !== "symbol");
  const named = issue.code === "unrecognized_keys" ? [...where, issue.keys[0] ?? ""] : where;
  const node = findNodeAtLocation(tree, named) ?? findNodeAtLocation(tree, where) ?? tree;
  throw invalid(path, text, node.offset, `${named.join(".") || "the file"}: ${issue.message}`);
}

/** If a union failed, the alternative that matched deepest explains best what is wrong. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [first] = issues as [z.core.$ZodIssue];
  if (first.code !== "invalid_union" || first.errors.length === 0) {
    return first;
  }
  const inner = first.errors
    .map(deepest)
    .toSorted((a, b) => b.path.length - a.path.length)[0] as z.core.$ZodIssue;
  return { ...inner, path: [...first.path, ...inner.path] };
}

function valueOf(node: Node): unknown {
  if (node.type === "array") {
    return (node.children ?? []).map(valueOf);
  }
  if (node.type === "object") {
    return Object.fromEntries(
      (node.children ?? []).map(({ children }) => {
        const [key, value] = children as [Node, Node];
        return [key.value as string, valueOf(value)];
      }),
    );
  }
  return node.value;
}

function invalid(path: string, text: string, offset: number, what: string): Failure {
  const before = text.slice(0, offset).split("\n");
  const line = before.length;
  const column = (before.at(-1)?.length ?? 0) + 1;
  return new Failure("dev_file_invalid", {
    message: `${path}:${line}:${column}: ${what}`,
    facts: { file: path, line, column },
  });
}

function absolute(path: string, given: Settings): DevFile {
  const folder = dirname(path);
  const all = (names: readonly string[]): readonly string[] =>
    names.map((name) => resolve(folder, name));
  return {
    path,
    bindings: Object.fromEntries(
      Object.entries(given.bindings ?? {}).map(([name, value]) => [
        name,
        {
          certificate: absoluteCertificate(folder, value.certificate),
          ca: value.ca && all(value.ca),
          allowedHosts: value.allowedHosts,
          database: value.database,
        },
      ]),
    ),
    identityEnvironments: given.identityEnvironments ?? false,
    ca: all(given.ca ?? []),
    proxied: given.proxied ?? [],
    hosts: Object.fromEntries(
      Object.entries(given.hosts ?? {}).map(([name, to]) => [name.toLowerCase(), to]),
    ),
  };
}

function absoluteCertificate(
  folder: string,
  value: DevFileCertificate | undefined,
): DevFileCertificate | undefined {
  if (value === undefined || !("cert" in value)) {
    return value;
  }
  return {
    cert: resolve(folder, value.cert),
    key: value.key === undefined ? undefined : resolve(folder, value.key),
  };
}
