import type { ScriptRow } from "../store/schema.ts";

/** The tag that wrangler gives a Worker deployed with `--env`. */
const TAG = "cf:environment=";
const LONGEST = 64;

/**
 * The environment that a Worker was deployed to, according to wrangler's tag. Null: there is no tag or more than one,
 * or the name is not text or too long for a SPIFFE ID.
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
