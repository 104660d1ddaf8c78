import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ScriptEntry, ScriptTarget } from "./protocol.ts";

/**
 * One of the versions that share a script's traffic: the one that the request asks for by name
 * (`Cloudflare-Workers-Version-Overrides`), always the same one for a key
 * (`Cloudflare-Workers-Version-Key`), or by their shares.
 *
 * @returns null: there is none yet
 */
export function choose(entry: ScriptEntry, headers: IncomingHttpHeaders): ScriptTarget | null {
  return (
    overridden(entry, headers["cloudflare-workers-version-overrides"]) ??
    share(entry, headers["cloudflare-workers-version-key"])
  );
}

/** The header chooses only among deployed versions. */
function overridden(
  { scriptName, targets }: ScriptEntry,
  header: string | string[] | undefined,
): ScriptTarget | null {
  if (header === undefined || scriptName === undefined) return null;
  let found: ScriptTarget | null = null;
  // A dictionary of strings (RFC 8941): of two with one name, the last counts.
  for (const [, name, version] of String(header).slice(0, 4096).matchAll(OVERRIDE)) {
    if (name !== scriptName) continue;
    found = targets.find(({ versionId }) => versionId === version) ?? null;
  }
  return found;
}

const OVERRIDE = /(?<=^|,)[ \t]*([a-z*][a-z0-9_.*-]*)="([0-9a-f-]{36})"[ \t]*(?=,|$)/g;

function share({ targets }: ScriptEntry, key: string | string[] | undefined): ScriptTarget | null {
  let dice = key === undefined ? Math.random() * 100 : hashed(String(key));
  // In one order whatever the deployment's is: a share that grows keeps the keys that it had.
  const ordered =
    key === undefined || targets.length < 2
      ? targets
      : targets.toSorted((a, b) => (a.versionId ?? "").localeCompare(b.versionId ?? ""));
  for (const target of ordered) {
    dice -= target.percentage;
    if (dice < 0) return target;
  }
  return ordered.findLast(({ percentage }) => percentage > 0) ?? ordered.at(-1) ?? null;
}

/** From 0 to below 100. */
function hashed(key: string): number {
  return (createHash("sha256").update(key).digest().readUInt32BE() / 2 ** 32) * 100;
}
