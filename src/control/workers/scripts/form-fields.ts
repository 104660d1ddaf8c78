/**
 * The metadata in the form that the npm SDK sends from version 6 on: not JSON, but a field for each value, named
 * `metadata[bindings][][name]`. When a name below `[]` repeats, the next element begins.
 *
 * @returns null if the form has no such fields
 * @throws Error if the fields are ambiguous
 */
export function metadataFromFields(form: FormData): Record<string, unknown> | null {
  const root: Branch = Object.create(null) as Branch;
  let found = false;
  for (const [name, value] of form) {
    const path = /^(?:metadata|settings)((?:\[[^\]]*\])+)$/.exec(name)?.[1];
    if (path === undefined || typeof value !== "string") continue;
    found = true;
    const keys = [...path.matchAll(/\[([^\]]*)\]/g)].map(([, key]) => key ?? "");
    if (keys.length > DEEPEST) throw new Error(`the field "${name.slice(0, 100)}" is too deep`);
    // Every value arrives as text, so the types of a JSON value would be lost.
    if (keys[0] === "bindings" && keys[2] === "json") {
      throw new Error("a binding of type json cannot be sent as form fields");
    }
    put(root, keys, value);
  }
  return found ? (plain(root) as Record<string, unknown>) : null;
}

const DEEPEST = 8;

type Branch = { [key: string]: Tree };
type Tree = string | Branch | Tree[];

function put(branch: Branch, [key = "", ...rest]: string[], value: string): void {
  if (rest.length === 0) branch[key] = value;
  else if (rest[0] === "") {
    const items = (branch[key] = Array.isArray(branch[key]) ? branch[key] : []);
    append(items, rest.slice(1), value);
  } else put(below(branch, key), rest, value);
}

function append(items: Tree[], keys: string[], value: string): void {
  if (keys.length === 0) {
    items.push(value);
    return;
  }
  const last = items.at(-1);
  const goesOn = isBranch(last) && !has(last, keys);
  const item = goesOn ? last : (Object.create(null) as Branch);
  if (!goesOn) items.push(item);
  put(item, keys, value);
}

/** Whether there is a value at this path already. A list below it takes more values. */
function has(branch: Branch, [key = "", ...rest]: string[]): boolean {
  const there = branch[key];
  if (there === undefined) return false;
  if (rest.length === 0) return true;
  return isBranch(there) && has(there, rest);
}

function below(branch: Branch, key: string): Branch {
  const there = branch[key];
  if (isBranch(there)) return there;
  return (branch[key] = Object.create(null) as Branch);
}

function isBranch(tree: Tree | undefined): tree is Branch {
  return typeof tree === "object" && !Array.isArray(tree);
}

/** Fields that are not text in Cloudflare's metadata, in any place. */
const BOOLEANS = new Set(
  "enabled logpush invocation_logs keep_assets persist redact_query_string".split(" "),
);
const NUMBERS = new Set(["cpu_ms", "subrequests", "head_sampling_rate"]);

function plain(tree: Tree, key = ""): unknown {
  if (Array.isArray(tree)) return tree.map((item) => plain(item));
  if (typeof tree === "object") {
    return Object.fromEntries(Object.entries(tree).map(([name, sub]) => [name, plain(sub, name)]));
  }
  if (BOOLEANS.has(key) && (tree === "true" || tree === "false")) return tree === "true";
  return NUMBERS.has(key) && /^\d+(\.\d+)?$/.test(tree) ? Number(tree) : tree;
}
