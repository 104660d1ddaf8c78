import type { ScriptRow } from "../store/schema.ts";

/** The tag that wrangler gives a Worker which it deploys with `--env`. */
const TAG = "cf:environment=";
const LONGEST = 64;

/**
 * The environment that a Worker was deployed to, as wrangler's tag says. Null: none; more than one, so
 * that none is meant; or one whose name has no room in a SPIFFE ID, or is no text.
 */
export function environmentOf({ settings }: Pick<ScriptRow, "settings">): string | null {
  const { tags } = settings as { readonly tags?: readonly string[] | null };
  const named = new Set(tags?.filter((tag) => tag.startsWith(TAG)));
  const [tag, ...others] = named;
  if (tag === undefined || others.length > 0) return null;
  const name = tag.slice(TAG.length);
  const isUsable = name !== "" && name.length <= LONGEST && name.isWellFormed();
  return isUsable ? name : null;
}
