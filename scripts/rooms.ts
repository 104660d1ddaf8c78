/**
 * Checks that imports between the rooms of `src/` go one way. `npm run check` runs it.
 *
 * A room imports from rooms in the rows above its own, and from no other: not from one beside it,
 * not from one below. Types count, and so do unit tests. Files make no circle either.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { parseSync } from "oxc-parser";

type Rows = readonly (readonly string[])[];

export interface House {
  readonly rows: Rows;
  /** The folders within one room, in the same way. Files beside the folders see all of them. */
  readonly wings: Readonly<Record<string, Rows>>;
  /** What a row above would allow. */
  readonly forbidden: Readonly<Record<string, readonly string[]>>;
}

export const house: House = {
  rows: [
    ["failures", "terminal", "forward", "worker"],
    ["keys"],
    ["contract"],
    ["certificates", "network", "process", "store", "journal"],
    ["identity"],
    ["ingress", "gateway", "intake"],
    ["edge", "control", "dev"],
    ["platform"],
    ["cli"],
  ],
  wings: {
    control: [
      ["api"],
      ["access", "workers"],
      ["routing", "certificates", "identity", "storage"],
      ["hosts", "databases"],
    ],
  },
  // The control plane may run on another machine than what it controls: it knows the contract alone.
  forbidden: { control: ["ingress", "gateway", "intake", "process"] },
};

export interface Import {
  readonly from: string;
  readonly to: string;
}

/** What is wrong in the folder `root`, a sentence each. Empty: nothing. */
export function violations(root: string, { rows, wings, forbidden }: House = house): string[] {
  const { files, imports: all } = importsIn(root);
  const known = new Set(files);
  const found: string[] = [];
  const imports: Import[] = [];
  for (const { from, to } of all) {
    if (to.startsWith("../")) {
      const toHelper = from.endsWith(".test.ts") && /^\.\.\/(?:test|packages)\//.test(to);
      if (!toHelper) found.push(`${from} imports ${to}, which is not in the house`);
    } else if (known.has(to)) imports.push({ from, to });
    else found.push(`${from} imports ${to}, and there is no such file`);
  }
  found.push(...strangers("", roomsOf(files), rows));
  for (const [room, wingRows] of Object.entries(wings)) {
    const inside = files.filter((file) => file.startsWith(`${room}/`));
    const folders = roomsOf(inside.map((file) => file.slice(room.length + 1)));
    found.push(...strangers(`${room}/`, folders, wingRows));
  }
  for (const { from, to } of imports) {
    const [room, target] = [roomOf(from), roomOf(to)];
    const wingRows = wings[room];
    if (room !== target) {
      const allowed = isAbove(rows, target, room) && !forbidden[room]?.includes(target);
      if (!allowed) found.push(`${from} imports ${to}: ${room} may not import from ${target}`);
    } else if (wingRows) {
      const [wing, other] = [from, to].map((file) => wingOf(file));
      if (wing === null || wing === other) continue;
      const allowed = other != null && isAbove(wingRows, other, wing!);
      if (!allowed) found.push(`${from} imports ${to}: the wing ${room}/${wing} may not`);
    }
  }
  for (const circle of circles(imports)) found.push(`a circle of imports: ${circle.join(" → ")}`);
  return found.toSorted();
}

function isAbove(rows: Rows, target: string, room: string): boolean {
  const [above, own] = [target, room].map((name) => rows.findIndex((row) => row.includes(name)));
  return above! >= 0 && above! < own!;
}

/** Rooms that the table does not have, and rows of the table that match nothing. */
function strangers(prefix: string, rooms: ReadonlySet<string>, rows: Rows): string[] {
  const named = new Set(rows.flat());
  return [
    ...[...rooms].filter((room) => !named.has(room)).map((r) => `${prefix}${r}/ has no row`),
    ...[...named].filter((room) => !rooms.has(room)).map((r) => `${prefix}${r}/ does not exist`),
  ];
}

function roomsOf(files: readonly string[]): ReadonlySet<string> {
  return new Set(files.filter((file) => file.includes("/")).map(roomOf));
}

function roomOf(file: string): string {
  return file.split("/")[0]!;
}

function wingOf(file: string): string | null {
  const parts = file.split("/");
  return parts.length > 2 ? parts[1]! : null;
}

/** The files that one file imports, as paths below `root`: `import`, `export from`, types, `import()`. */
/** The TypeScript files in `root`, and what each imports: paths from there. */
export function importsIn(root: string): {
  readonly files: readonly string[];
  readonly imports: readonly Import[];
} {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll(sep, "/"))
    .filter((file) => file.endsWith(".ts"));
  const imports = files.flatMap((from) => importsOf(root, from).map((to) => ({ from, to })));
  return { files, imports };
}

function importsOf(root: string, file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  const key = `${file}\n${text}`;
  const known = parsed.get(key) ?? parse(file, text);
  parsed.set(key, known);
  return known.map((one) => normalize(join(dirname(file), one)).replaceAll(sep, "/"));
}

/** By name and text: tests read nearly the same files again and again. */
const parsed = new Map<string, readonly string[]>();

/** The relative paths that a file imports, as they are written. */
function parse(file: string, text: string): string[] {
  const { program, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file} does not parse: ${errors[0]!.message}`);
  const sources = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== "object" || node === null) return;
    const { type, source } = node as { type?: string; source?: { value?: unknown } };
    if (type !== undefined && IMPORTING.has(type) && typeof source?.value === "string") {
      if (source.value.startsWith(".")) sources.add(source.value);
    }
    for (const child of Object.values(node)) visit(child);
  };
  visit(program);
  return [...sources];
}

const IMPORTING = new Set([
  "ImportDeclaration",
  "ExportNamedDeclaration",
  "ExportAllDeclaration",
  "ImportExpression",
  "TSImportType",
]);

/** One circle for each file at which a walk along the imports comes back to its own way. */
function circles(imports: readonly Import[]): string[][] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const found: string[][] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]): void => {
    const met = way.indexOf(file);
    if (met >= 0) found.push([...way.slice(met), file]);
    if (met >= 0 || done.has(file)) return;
    for (const next of targets.get(file) ?? []) walk(next, [...way, file]);
    done.add(file);
  };
  for (const file of targets.keys()) walk(file, []);
  return found;
}

if (import.meta.main) {
  const found = violations(join(import.meta.dirname, "../src"));
  for (const line of found) console.error(`src/${line}`);
  if (found.length > 0) {
    console.error("The direction is in scripts/rooms.ts and in CONTRIBUTING.md.");
    process.exitCode = 1;
  }
}
