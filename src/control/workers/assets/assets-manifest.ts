import { z } from "@hono/zod-openapi";
import type { AssetFile } from "../../../contract/assets.ts";
import { Failure } from "../../../failures/failures.ts";

/** Files of one version, as on Cloudflare. */
const MOST_FILES = 20_000;
/** Bytes of one file, as on Cloudflare. */
export const largestAsset: number = 25 * 1024 * 1024;
/** Bytes of a path and of one name in it: the limits of file systems. */
const LONGEST_PATH = 1024;
const LONGEST_NAME = 255;

export const assetHash: z.ZodType<string> = z
  .string()
  .regex(/^[0-9a-f]{32}$/, "is not 32 hex digits");

type Manifest = Readonly<Record<string, { readonly hash: string; readonly size: number }>>;

const size = z.number().int().min(0).max(largestAsset);

/** Files by their paths. */
export const manifest: z.ZodType<Manifest> = z
  .record(z.string(), z.object({ hash: assetHash, size }))
  .refine((files) => Object.keys(files).length <= MOST_FILES, `has more than ${MOST_FILES} files`);

/**
 * The files of a manifest, after checking that no path leads out of its folder.
 * @throws Failure `assets_manifest_invalid`
 */
export function filesOf(sent: Manifest): readonly AssetFile[] {
  const sizes = new Map<string, number>();
  const paths = new Set(Object.keys(sent));
  return Object.entries(sent).map(([path, { hash, size: bytes }]) => {
    const why = whyNot(path) ?? folderThatIsAFile(path, paths);
    if (why !== null) throw invalid(path, why);
    const known = sizes.get(hash) ?? bytes;
    if (known !== bytes) throw invalid(path, `has the hash of a file with ${known} bytes`);
    sizes.set(hash, bytes);
    return { path, hash, size: bytes };
  });
}

/** Why a path cannot be a file's. Null: it can. */
function whyNot(path: string): string | null {
  if (!path.startsWith("/")) return "does not begin with a slash";
  if (!path.isWellFormed()) return "is not Unicode";
  if (/[\p{Cc}\\]/u.test(path)) return "has a backslash or a control character in it";
  if (Buffer.byteLength(path) > LONGEST_PATH) return `is longer than ${LONGEST_PATH} bytes`;
  for (const name of path.slice(1).split("/")) {
    if (name === "" || name === "." || name === "..") return "leads to no file of the folder";
    if (Buffer.byteLength(name) > LONGEST_NAME) return "has a name that is too long in it";
  }
  return null;
}

function folderThatIsAFile(path: string, paths: ReadonlySet<string>): string | null {
  for (let at = path.indexOf("/", 1); at !== -1; at = path.indexOf("/", at + 1)) {
    if (paths.has(path.slice(0, at))) return `is below "${path.slice(0, at)}", which is a file`;
  }
  return null;
}

function invalid(path: string, why: string): Failure {
  const shown = path.slice(0, 200).replaceAll(/\p{Cc}/gu, encodeURIComponent);
  return new Failure("assets_manifest_invalid", {
    message: `the static asset "${shown}" ${why}`,
    facts: { path: shown },
  });
}
