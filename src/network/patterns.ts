import { domainToASCII } from "node:url";

/** `example.com`, `*.example.com` (any host below it), `*example.com` (any host that ends so). */
export interface HostRule {
  /** The whole host; with `any`, what it ends with: `.example.com`. */
  readonly end: string;
  readonly any: boolean;
}

/** `https://*.example.com/api/*`: a host, and the path with its query. */
export interface RouteRule {
  readonly host: HostRule;
  /** `/api/`, or with `anySuffix` what the path begins with. */
  readonly path: string;
  readonly anySuffix: boolean;
}

/** A host as it is compared: lower case, ASCII, without port and trailing dot. */
export function plainHost(text: string): string {
  // `2001:db8::1` has no port, `[2001:db8::1]:443` and `example.com:443` have one.
  const bare = /^\[(.*)\](:\d+)?$/.exec(text)?.[1] ?? text.replace(/^([^:]*):\d+$/, "$1");
  const lower = bare.toLowerCase().replace(/\.$/, "");
  return /^[ -~]*$/.test(lower) ? lower : domainToASCII(lower) || lower;
}

export function parseHostRule(pattern: string): HostRule {
  const any = pattern.startsWith("*");
  const rest = any ? pattern.slice(1) : pattern;
  // The dot in front is not part of a name, so it stays out of what is made plain.
  const dot = any && rest.startsWith(".") ? "." : "";
  return { any, end: dot + plainHost(rest.slice(dot.length)) };
}

/** Without a path it is for all of them. */
export function parseRoute(text: string): RouteRule {
  const pattern = text.replace(/^https?:\/\//i, "");
  const slash = pattern.indexOf("/");
  const path = slash === -1 ? "*" : pattern.slice(slash);
  return {
    host: parseHostRule(slash === -1 ? pattern : pattern.slice(0, slash)),
    path: path.replace(/\*$/, ""),
    anySuffix: path.endsWith("*"),
  };
}

/** @param host as `plainHost` makes it */
export function isForHost({ any, end }: HostRule, host: string): boolean {
  if (!any) return host === end;
  // `*.example.com` needs a label before the dot; `*example.com` is for `example.com` itself.
  return host.endsWith(end) && host.length > (end.startsWith(".") ? end.length : end.length - 1);
}

/** Whether one of a list like `["api.example.com", "*.example.net"]` is for the host: no other star. */
export function matchesHost(patterns: readonly string[], host: string): boolean {
  const plain = plainHost(host);
  return patterns.some(
    (pattern) => /^(\*\.|[^*])/.test(pattern) && isForHost(parseHostRule(pattern), plain),
  );
}

/** Whether there is a host that both routes, with a path or without, are for. */
export function hostsOverlap(one: string, other: string): boolean {
  const [a, b] = [parseRoute(one).host, parseRoute(other).host];
  return a.end === b.end || (a.any && b.end.endsWith(a.end)) || (b.any && a.end.endsWith(b.end));
}
