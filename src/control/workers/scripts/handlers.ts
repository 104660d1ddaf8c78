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
/** Characters. What stands in a longer expression is not known. */
const LONGEST_EXPRESSION = 256 * 1024;
/** Characters that are looked through for all exports of a module: others wait for the API meanwhile. */
const MOST_LOOKED_THROUGH = 64 * 1024 * 1024;
/** How much longer it takes to parse a character than to look at it. */
const PARSED = 10;

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
  const module = new Source(source);
  for (const found of defaultFirst(parse(source)[1])) {
    const { name } = found as { name?: string };
    const value = found.type === "direct" ? module.valueOf(found) : null;
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

function defaultFirst<T extends object>(found: readonly T[]): readonly T[] {
  const isDefault = (one: T): boolean => (one as { name?: string }).name === "default";
  return [...found.filter(isDefault), ...found.filter((one) => !isDefault(one))];
}

/** A module's text, of which only so much is looked through. */
class Source {
  readonly #text: string;
  #left = MOST_LOOKED_THROUGH;

  constructor(text: string) {
    this.#text = text;
  }

  /** The expression that is exported. Null: not known. */
  valueOf({ name, localName, end }: Direct): Node | null {
    const start = /^\s*/.exec(this.#text.slice(end))![0].length + end;
    const isInline = name === "default" && !/^[,}]/.test(this.#text.slice(start, start + 1));
    if (isInline) {
      const inline = this.#expressionAt(start);
      if (inline?.type !== "Identifier") return inline;
      return this.#declared((inline as { name: string } & Node).name);
    }
    return localName === undefined ? null : this.#declared(localName);
  }

  /** The declaration of a name, if nothing else in the module uses the name. */
  #declared(name: string): Node | null {
    const text = this.#text;
    this.#left -= text.length;
    if (this.#left < 0) return null;
    const word = `(?<![\\w$.])${name.replaceAll("$", String.raw`\$`)}(?![\\w$])`;
    const declaration = new RegExp(
      `(?:\\b(?:var|let|const)\\s+|,\\s*)${word}\\s*=(?!=|>)\\s*`,
    ).exec(text);
    const isClass = new RegExp(`\\bclass\\s+${word}`).exec(text);
    if (isClass) return this.#expressionAt(isClass.index);
    if (!declaration) return null;
    const value = this.#expressionAt(declaration.index + declaration[0].length);
    if (!value) return null;
    const known = eventsOf(value);
    // `handler.fetch = …` may follow elsewhere, so an object without handlers proves nothing.
    if (known?.names.length !== 0 || known.isClass) return value;
    const uses = text.matchAll(new RegExp(word, "g"));
    return [...uses.take(3)].length > 2 ? null : value;
  }

  #expressionAt(position: number): Node | null {
    if (this.#left < 0) return null;
    const text = this.#text.slice(0, position + LONGEST_EXPRESSION);
    let parsed = text.length - position;
    try {
      const options = { ecmaVersion: "latest", sourceType: "module" } as const;
      const found = parseExpressionAt(text, position, options);
      // Its end is cut off: more may belong to it.
      if (found.end === text.length && text.length < this.#text.length) return null;
      parsed = found.end - position;
      // `var a = {}, b = {}` parses as a sequence.
      return found.type === "SequenceExpression" ? found.expressions[0]! : found;
    } catch {
      return null;
    } finally {
      this.#left -= parsed * PARSED;
    }
  }
}

interface Direct {
  readonly name: string;
  readonly localName?: string | undefined;
  readonly end: number;
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
