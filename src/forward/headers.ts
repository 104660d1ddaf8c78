import { type IncomingHttpHeaders, STATUS_CODES } from "node:http";

/** Some names of header fields, in lower case. */
export interface HeaderNames {
  has(name: string): boolean;
}

/** A request's header fields as the next hop gets them, and what they say of its body. */
export interface RequestHead {
  /** Flat: name, value, name, value … Without `Host`. */
  readonly headers: string[];
  readonly host: string | null;
  readonly hasBody: boolean;
}

/**
 * Copies raw headers without those that concern one connection only (RFC 9110, section 7.6.1).
 * @param raw flat, as Node gives them: its parser has already refused what could smuggle a request
 * @param dropped lower-case names to leave out besides
 */
export function requestHead(raw: readonly string[], dropped?: HeaderNames): RequestHead {
  const headers: string[] = [];
  let host: string | null = null;
  let hasBody = false;
  let listed: string[] | null = null;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    switch (connectionField(name)) {
      case "host":
        host = value;
        continue;
      case "content-length":
        hasBody = value !== "0";
        break;
      case "transfer-encoding":
        hasBody = true;
        continue;
      case "connection":
        if (value !== "keep-alive" && value !== "close") listed = tokens(value, listed);
        continue;
      case "hop":
        continue;
      default:
    }
    if (dropped !== undefined && dropped.has(name.toLowerCase())) continue;
    headers.push(name, value);
  }
  return { headers: listed === null ? headers : without(headers, listed), host, hasBody };
}

/** A response's header fields for the client: flat, in the order they came. */
export function responseHeaders(headers: IncomingHttpHeaders): string[] {
  const flat: string[] = [];
  let listed: string[] | null = null;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || name.charCodeAt(0) === COLON) continue;
    switch (connectionField(name)) {
      case "connection":
        if (value !== "keep-alive" && value !== "close") listed = tokens(String(value), listed);
        continue;
      case "transfer-encoding":
      case "hop":
        continue;
      default:
    }
    if (typeof value === "string") flat.push(name, value);
    else for (const one of value) flat.push(name, one);
  }
  return listed === null ? flat : without(flat, listed);
}

const COLON = 58;

/** The reason phrase that came, unless it has characters that Node cannot write. */
export function reasonOf(status: number, text: string | undefined): string {
  const usual = STATUS_CODES[status] ?? "";
  if (text === undefined || text === "" || text === usual) return usual;
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text) ? text : usual;
}

type ConnectionField =
  | "host"
  | "content-length"
  | "transfer-encoding"
  | "connection"
  | "hop"
  | null;

/** Judged by length first, so that most names are never lower-cased. */
function connectionField(name: string): ConnectionField {
  switch (name.length) {
    case 2:
      return name.toLowerCase() === "te" ? "hop" : null;
    case 4:
      return name.toLowerCase() === "host" ? "host" : null;
    case 6:
      return name.toLowerCase() === "expect" ? "hop" : null;
    case 7: {
      const lower = name.toLowerCase();
      return lower === "upgrade" || lower === "trailer" ? "hop" : null;
    }
    case 10: {
      const lower = name.toLowerCase();
      return lower === "connection" ? "connection" : lower === "keep-alive" ? "hop" : null;
    }
    case 14: {
      const lower = name.toLowerCase();
      if (lower === "content-length") return "content-length";
      // Between processes of the platform only, and set by who forwards: no origin gets a Worker's.
      return lower === "countersign-cf" ? "hop" : null;
    }
    case 16:
      return name.toLowerCase() === "proxy-connection" ? "hop" : null;
    case 17:
      return name.toLowerCase() === "transfer-encoding" ? "transfer-encoding" : null;
    case 18:
      return name.toLowerCase() === "proxy-authenticate" ? "hop" : null;
    case 19:
      return name.toLowerCase() === "proxy-authorization" ? "hop" : null;
    default:
      return null;
  }
}

/** The names in a list, in lower case, after those of `before`. */
export function tokens(value: string, before: string[] | null = null): string[] {
  const names = value.split(",").map((token) => token.trim().toLowerCase());
  return before === null ? names : [...before, ...names];
}

/** Headers that frame the message stay, even if `Connection` lists them. */
function without(headers: string[], listed: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const lower = headers[i]!.toLowerCase();
    if (lower === "content-length" || !listed.includes(lower))
      kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}
