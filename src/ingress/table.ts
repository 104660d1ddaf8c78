import { keyIn } from "../contract/key-in.ts";
import { isForHost, parseRoute, type RouteRule } from "../network/patterns.ts";
import type { ScriptEntry, ScriptUpdate } from "./protocol.ts";

/**
 * Finds the script that answers for a URL. A pattern with a path is more specific than a host, and
 * a host is more specific than a wildcard. Among equals the longest counts, as on Cloudflare.
 */
export class RoutingTable {
  readonly #scripts = new Map<string, ScriptEntry>();
  #hosts = new Map<string, ScriptEntry>();
  readonly #accounts = new WeakMap<ScriptEntry, string>();
  #wildcards: readonly Pattern[] = [];
  #routes: readonly Pattern[] = [];

  update(updates: readonly ScriptUpdate[]): void {
    for (const { accountId, scriptName, entry } of updates) {
      const id = keyIn(accountId, scriptName);
      if (entry === null) this.#scripts.delete(id);
      else {
        this.#scripts.set(id, entry);
        this.#accounts.set(entry, accountId);
      }
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

  /** Whether somebody has exactly this host: not by a wildcard, nor by a route. */
  has(host: string): boolean {
    return this.#hosts.has(host);
  }

  /** Whose script it is. */
  accountOf(entry: ScriptEntry): string {
    return this.#accounts.get(entry) ?? "";
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
        else if (!entry.isOrigin || !this.#hosts.has(host)) this.#hosts.set(host, entry);
      }
      for (const route of entry.routes) routes.push(parsePattern(route, entry));
    }
    this.#indexPreviews();
    this.#wildcards = wildcards.toSorted(bySpecificity);
    this.#routes = routes.toSorted(bySpecificity);
  }

  /** Versions that do not run yet. A host that belongs to a script stays with it. */
  #indexPreviews(): void {
    for (const entry of this.#scripts.values()) {
      const { scriptName, previews } = entry;
      if (previews === undefined || scriptName === undefined) continue;
      const accountId = this.accountOf(entry);
      for (const { versionId, hosts } of previews) {
        const starts = { accountId, scriptName, versionId };
        const preview = { scriptName, hosts, routes: [], targets: [], starts };
        this.#accounts.set(preview, accountId);
        for (const host of hosts) if (!this.#hosts.has(host)) this.#hosts.set(host, preview);
      }
    }
  }
}

interface Pattern extends RouteRule {
  readonly entry: ScriptEntry;
}

function parsePattern(text: string, entry: ScriptEntry): Pattern {
  return { entry, ...parseRoute(text) };
}

function matches(pattern: Pattern, host: string, path: string): boolean {
  if (!isForHost(pattern.host, host)) return false;
  return pattern.anySuffix ? path.startsWith(pattern.path) : path === pattern.path;
}

/** Exact hosts first, then longer hosts, then longer paths. */
function bySpecificity(a: Pattern, b: Pattern): number {
  return (
    Number(a.host.any) - Number(b.host.any) ||
    b.host.end.length - a.host.end.length ||
    b.path.length - a.path.length ||
    Number(a.anySuffix) - Number(b.anySuffix) ||
    Number(a.entry.isOrigin ?? false) - Number(b.entry.isOrigin ?? false)
  );
}
