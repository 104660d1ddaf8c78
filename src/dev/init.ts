import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { parse, type JSONPath } from "jsonc-parser";
import { authorityFolder } from "./authority.ts";
import { edited } from "./edit-json.ts";
import type { WranglerProject } from "./wrangler/wrangler.ts";

/** A file's content now and after the change. */
export interface FileChange {
  /** Relative to the project. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
}

export interface InitOptions {
  /** The project's folder, absolute. */
  readonly folder: string;
  readonly project: WranglerProject & { readonly configPath: string };
  readonly environment: string | undefined;
  /** The binding that the project should have. Null: any is enough, and `MY_CERT` is added if there is none. */
  readonly binding: string | null;
  /** The folder of the running Countersign, absolute. `devDependencies` gets this path. */
  readonly countersign: string;
}

/** The changes that the project needs. Empty once all were applied. */
export async function planInit(options: InitOptions): Promise<readonly FileChange[]> {
  const changes = await Promise.all([
    change(options, relative(options.folder, options.project.configPath), withBinding),
    change(options, "package.json", withScripts),
    change(options, ".gitignore", withIgnored),
  ]);
  return changes.filter(({ before, after }) => before !== after);
}

/** In TypeScript projects `wrangler types` generates `Env`. */
export function usesTypes(folder: string): boolean {
  return existsSync(join(folder, "tsconfig.json"));
}

async function change(
  options: InitOptions,
  path: string,
  edit: (text: string, options: InitOptions) => string,
): Promise<FileChange> {
  const before = await readFile(join(options.folder, path), "utf8").catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") {
        return "";
      }
      throw error;
    },
  );
  return { path, before, after: edit(before, options) };
}

const defaultBinding = "MY_CERT";
const placeholder = "<CERTIFICATE_ID>";

function withBinding(text: string, { project, environment, binding }: InitOptions): string {
  const has = project.bindings.some(({ name }) => binding === null || name === binding);
  if (has) {
    return text;
  }
  const entry = { binding: binding ?? defaultBinding, certificate_id: placeholder };
  if (project.configPath.endsWith(".toml")) {
    const table = [...(environment ? ["env", environment] : []), "mtls_certificates"];
    const lines = Object.entries(entry).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    return `${ended(text)}\n[[${table.join(".")}]]\n${lines.join("\n")}\n`;
  }
  const path = [...(environment ? ["env", environment] : []), "mtls_certificates"];
  return project.bindings.length === 0
    ? edited(text, path, [entry])
    : edited(text, [...path, -1], entry);
}

function withScripts(text: string, { folder, countersign }: InitOptions): string {
  if (text === "") {
    return text;
  }
  const manifest = parse(text) as {
    scripts?: Record<string, string>;
    dependencies?: Record<string, string>;
    devDependencies?: Record<string, string>;
  };
  const { scripts = {}, dependencies = {}, devDependencies = {} } = manifest;
  const wanted: [JSONPath, string][] = [];
  const dev = scripts["dev"] ?? "countersign dev";
  wanted.push([["scripts", "dev"], dev.replace(/\bwrangler dev\b/, "countersign dev")]);
  wanted.push([["scripts", "origin"], scripts["origin"] ?? "countersign dev origin"]);
  if (!Object.values(scripts).some((script) => script.includes("wrangler types"))) {
    wanted.push([["scripts", "cf-typegen"], "wrangler types"]);
  }
  if (!("countersign" in { ...dependencies, ...devDependencies })) {
    // Never a bare version, which would install whatever a registry has under this name.
    const path = relative(folder, countersign).replaceAll("\\", "/");
    wanted.push([["devDependencies", "countersign"], `file:${path}`]);
  }
  return wanted.reduce((edit, [path, value]) => edited(edit, path, value), text);
}

function withIgnored(text: string): string {
  const has = text.split("\n").some((line) => /^\/?\.countersign\/?$/.test(line.trim()));
  return has ? text : `${ended(text)}${authorityFolder}/\n`;
}

function ended(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
