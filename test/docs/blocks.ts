import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root: string = join(import.meta.dirname, "../..");

/** A fenced block of a page. `name` is its place: `docs/keys.md:42`. */
export interface Block {
  readonly page: string;
  readonly name: string;
  readonly text: string;
}

/** Every shell block of the README, CONTRIBUTING and `docs/`, in page order. */
function shellBlocks(): readonly Block[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`);
  return ["README.md", "CONTRIBUTING.md", ...docs.toSorted()].flatMap((page) => {
    const text = readFileSync(join(root, page), "utf8");
    return [...text.matchAll(/^```(?:sh|bash|console)\n(.*?)^```/gms)].map((found) => ({
      page,
      name: `${page}:${text.slice(0, found.index).split("\n").length + 1}`,
      text: found[1]!,
    }));
  });
}

export const blocks: readonly Block[] = shellBlocks();
/** The blocks that a test has run. */
export const taken: Set<Block> = new Set();

/** The text of the only block of a page that contains these words. */
export function block(page: string, words: string | RegExp): string {
  const found = blocks.filter(
    (one) =>
      one.page === page &&
      (typeof words === "string" ? one.text.includes(words) : words.test(one.text)),
  );
  assert.equal(found.length, 1, `${page} has ${found.length} blocks with "${String(words)}"`);
  taken.add(found[0]!);
  return found[0]!.text;
}
