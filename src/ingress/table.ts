import type { ScriptEntry, ScriptUpdate } from "./protocol.ts";

/**
 * Which script answers for a URL. Patterns with a path are more specific than a host, a host more
 * than a wildcard; among equals the longest wins, as on Cloudflare.
 */
export class RoutingTable {
  readonly #scripts = new Map<string, ScriptEntry>();
  #hosts = new Map<string, ScriptEntry>();
  #wildcards: readonly Pattern[] = [];
  #routes: readonly Pattern[] = [];

  update(updates: readonly ScriptUpdate[]): void {
    for (const { accountId, scriptName, entry } of updates) {
      const id = JSON.stringify([accountId, scriptName]);
      if (entry === null) this.#scripts.delete(id);
      else this.#scripts.set(id, entry);
    }
    this.#index();
  }

  /**
   * @param host lower case, without port and trailing dot
   * @param path with its query: a pattern that does not end in `*` matches it whole
   */
  find(host: string, path: string): ScriptEntry | null {
    return (
      this.#findRoute(host, path) ??
      this.#hosts.get(host) ??
      this.#wildcards.find((wildcard) => matches(wildcard, host, path))?.entry ??
      null
    );
  }

  #findRoute(host: string, path: string): ScriptEntry | undefined {
    if (this.#routes.length === 0) return undefined;
    // `..` and its spellings are resolved first, as the Worker does that is handed the URL.
    const url = URL.parse(`http://host${path}`);
    const resolved = url === null ? path : url.pathname + url.search;
    return this.#routes.find((route) => matches(route, host, resolved))?.entry;
  }

  #index(): void {
    this.#hosts = new Map();
    const wildcards: Pattern[] = [];
    const routes: Pattern[] = [];
    for (const entry of this.#scripts.values()) {
      for (const host of entry.hosts) {
        if (host.startsWith("*")) wildcards.push(parsePattern(host, entry));
        else this.#hosts.set(host, entry);
      }
      for (const route of entry.routes) routes.push(parsePattern(route, entry));
    }
    this.#wildcards = wildcards.toSorted(bySpecificity);
    this.#routes = routes.toSorted(bySpecificity);
  }
}

interface Pattern {
  readonly entry: ScriptEntry;
  /** `example.com`, or with `anyPrefix` what the host ends with: `.example.com`. */
  readonly host: string;
  readonly anyPrefix: boolean;
  /** `/api/`, or with `anySuffix` what the path begins with. */
  readonly path: string;
  readonly anySuffix: boolean;
}

function parsePattern(text: string, entry: ScriptEntry): Pattern {
  const pattern = text.replace(/^https?:\/\//, "");
  const slash = pattern.indexOf("/");
  const host = (slash === -1 ? pattern : pattern.slice(0, slash)).toLowerCase();
  const path = slash === -1 ? "*" : pattern.slice(slash);
  return {
    entry,
    host: host.replace(/^\*/, ""),
    anyPrefix: host.startsWith("*"),
    path: path.replace(/\*$/, ""),
    anySuffix: path.endsWith("*"),
  };
}

function matches(pattern: Pattern, host: string, path: string): boolean {
  const { anyPrefix, anySuffix } = pattern;
  return (
    (anyPrefix
      ? host.endsWith(pattern.host) && host.length > pattern.host.length - leadingDot(pattern)
      : host === pattern.host) &&
    (anySuffix ? path.startsWith(pattern.path) : path === pattern.path)
  );
}

/** `*.example.com` needs a label before the dot; `*example.com` matches `example.com` itself. */
function leadingDot({ host }: Pattern): 0 | 1 {
  return host.startsWith(".") ? 0 : 1;
}

/** Exact hosts first, then longer hosts, then longer paths. */
function bySpecificity(a: Pattern, b: Pattern): number {
  return (
    Number(a.anyPrefix) - Number(b.anyPrefix) ||
    b.host.length - a.host.length ||
    b.path.length - a.path.length ||
    Number(a.anySuffix) - Number(b.anySuffix)
  );
}
