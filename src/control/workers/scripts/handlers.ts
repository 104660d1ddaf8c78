import { type Node, parseExpressionAt } from "acorn";
import { parse } from "es-module-lexer";
import type { WorkerModule } from "../../../contract/change-feed.ts";

/** The handlers of a script's main module, as far as its source code shows them. */
export interface Handlers {
  /** Handlers of the default export: `fetch`, `scheduled` … Absent: the source does not show them. */
  readonly handlers?: readonly string[];
  /** Other exports that the runtime could call, by name. Absent: the source does not show them. */
  readonly named_handlers?: readonly { readonly name: string; readonly handlers: string[] }[];
}

const EVENTS = new Set(
  "fetch scheduled queue email tail tailStream trace test connect alarm".split(" "),
);

/** Bytes. Longer modules are not read; their start shows what is wrong with them. */
const LONGEST = 5 * 1024 * 1024;

/**
 * Reads which handlers a main module exports. Uncertain results are left out. Code that does not parse is left to the
 * runtime, which has better messages.
 */
export function handlersOf(main: WorkerModule): Handlers {
  if (main.type !== "esm" || main.content.byteLength > LONGEST) return {};
  const source = Buffer.from(main.content).toString();
  try {
    return read(source);
  } catch {
    return {};
  }
}

/** Whether it is certain that nothing in it can be called. */
export function hasNone({ handlers, named_handlers: named }: Handlers): boolean {
  return handlers?.length === 0 && named?.length === 0;
}

function read(source: string): Handlers {
  let handlers: readonly string[] | undefined = [];
  let named: { name: string; handlers: string[] }[] | undefined = [];
  for (const found of parse(source)[1]) {
    const { name } = found as { name?: string };
    const value = found.type === "direct" ? valueOf(source, found) : null;
    const events = value && eventsOf(value);
    if (name === "default") handlers = events?.certain === false ? undefined : events?.names;
    else if (name === undefined || !events?.certain) named = undefined;
    else if (events.names.length > 0 || events.isClass) {
      named?.push({ name, handlers: [...events.names] });
    }
  }
  return {
    ...(handlers && { handlers }),
    ...(named && { named_handlers: named }),
  };
}

interface Direct {
  readonly name: string;
  readonly localName?: string | undefined;
  readonly end: number;
}

/** The expression that is exported. Null: not known. */
function valueOf(source: string, found: Direct): Node | null {
  const start = /^\s*/.exec(source.slice(found.end))![0].length + found.end;
  const isInline = found.name === "default" && !/^[,}]/.test(source.slice(start));
  if (isInline) {
    const inline = expressionAt(source, start);
    if (inline?.type !== "Identifier") return inline;
    return declared(source, (inline as { name: string } & Node).name);
  }
  return found.localName === undefined ? null : declared(source, found.localName);
}

/** The declaration of a name, if nothing else in the module uses the name. */
function declared(source: string, name: string): Node | null {
  const word = `(?<![\\w$.])${name.replaceAll("$", String.raw`\$`)}(?![\\w$])`;
  const uses = [...source.matchAll(new RegExp(word, "g"))];
  const declaration = new RegExp(`(?:\\b(?:var|let|const)\\s+|,\\s*)${word}\\s*=(?!=|>)\\s*`).exec(
    source,
  );
  const isClass = new RegExp(`\\bclass\\s+${word}`).exec(source);
  if (isClass) return expressionAt(source, isClass.index);
  if (!declaration) return null;
  const value = expressionAt(source, declaration.index + declaration[0].length);
  if (!value) return null;
  const known = eventsOf(value);
  // `handler.fetch = …` may follow elsewhere, so an object without handlers proves nothing.
  return uses.length > 2 && known?.names.length === 0 && !known.isClass ? null : value;
}

function expressionAt(source: string, position: number): Node | null {
  try {
    const options = { ecmaVersion: "latest", sourceType: "module" } as const;
    const found = parseExpressionAt(source, position, options);
    // `var a = {}, b = {}` parses as a sequence.
    return found.type === "SequenceExpression" ? found.expressions[0]! : found;
  } catch {
    return null;
  }
}

interface Events {
  readonly names: readonly string[];
  /** False: there may be other handlers. */
  readonly certain: boolean;
  readonly isClass: boolean;
}

function eventsOf(value: Node): Events | null {
  if (value.type === "Literal") return { names: [], certain: true, isClass: false };
  const isClass = value.type === "ClassExpression" || value.type === "ClassDeclaration";
  const members = isClass
    ? (value as unknown as { body: { body: Member[] } }).body.body
    : value.type === "ObjectExpression"
      ? (value as unknown as { properties: Member[] }).properties
      : null;
  if (!members) return null;
  const keys = members.map(({ key, computed }) =>
    computed ? undefined : (key?.name ?? key?.value),
  );
  const names = keys.filter((key): key is string => typeof key === "string" && EVENTS.has(key));
  // A class may inherit handlers, or be called by its methods alone.
  const certain = isClass ? names.length > 0 : names.length > 0 || !keys.includes(undefined);
  return { names, certain, isClass };
}

interface Member {
  readonly key?: { readonly name?: string; readonly value?: unknown };
  readonly computed?: boolean;
}
