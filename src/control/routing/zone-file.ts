import { Failure } from "../../failures/failures.ts";

/** A record as in a zone file. */
export interface ZoneFileRecord {
  /** Lower case, the full name, without the last dot. */
  readonly name: string;
  readonly type: string;
  readonly content: string;
  readonly ttl: number;
  /** From `cf_tags=cf-proxied:true`, as Cloudflare exports it. Null: the file does not say. */
  readonly proxied: boolean | null;
}

/**
 * Reads a zone file (RFC 1035, section 5) with the types of records that zones have here. SOA and NS of the zone itself
 * are skipped, because Countersign serves no DNS.
 * @throws Failure `dns_zone_file_invalid`, with the line; `dns_record_unsupported`, with the type
 */
export function readZoneFile(text: string, zone: string): readonly ZoneFileRecord[] {
  const records: ZoneFileRecord[] = [];
  const state: State = { origin: zone, ttl: 1, owner: null };
  for (const entry of entriesOf(text)) {
    const record = recordOf(entry, state, zone);
    if (record !== null) records.push(record);
  }
  return records;
}

/** Writes a zone file as Cloudflare exports it, with Cloudflare's own fields in comments. */
export function writeZoneFile(
  zone: string,
  records: readonly (Omit<ZoneFileRecord, "proxied"> & { readonly proxied: boolean })[],
): string {
  const lines = records.map(({ name, type, content, ttl, proxied }) => {
    const tags = type === "TXT" ? "" : ` ; cf_tags=cf-proxied:${proxied}`;
    return `${name}.\t${ttl}\tIN\t${type}\t${written(type, content)}${tags}`;
  });
  return `;; Domain:     ${zone}.\n$ORIGIN ${zone}.\n${lines.map((line) => `${line}\n`).join("")}`;
}

interface Token {
  readonly text: string;
  readonly isQuoted: boolean;
}

interface Entry {
  readonly line: number;
  /** The entry begins with a blank, so its owner is that of the previous entry. */
  readonly isContinued: boolean;
  readonly tokens: readonly Token[];
  readonly comment: string;
}

interface State {
  origin: string;
  ttl: number;
  owner: string | null;
}

function recordOf(
  { line, isContinued, tokens, comment }: Entry,
  state: State,
  zone: string,
): ZoneFileRecord | null {
  const [first] = tokens;
  if (first === undefined) return null;
  if (!first.isQuoted && first.text.startsWith("$")) {
    direct(tokens, state, line);
    return null;
  }
  const rest = [...tokens];
  if (!isContinued) state.owner = whole(rest.shift()!.text, state.origin);
  if (state.owner === null) throw invalid(line, "the first record has no name");
  let ttl: number | null = null;
  // TTL and class may come in either order, and each may be absent.
  for (let i = 0; i < 2; i += 1) {
    const next = rest[0]?.text.toUpperCase() ?? "";
    if (ttl === null && /^\d/.test(next)) ttl = seconds(next, line);
    else if (["IN", "CH", "HS", "CS"].includes(next)) {
      if (next !== "IN")
        throw invalid(line, `records of the class ${next} are not of the internet`);
    } else break;
    rest.shift();
  }
  const type = rest.shift()?.text.toUpperCase() ?? "";
  if (!/^[A-Z][A-Z0-9-]{0,19}$/.test(type)) throw invalid(line, "it has no type");
  if ((type === "SOA" || type === "NS") && state.owner === zone) return null;
  if (rest.length === 0) throw invalid(line, `the ${type} record has no content`);
  if (!KEPT.has(type)) {
    throw new Failure("dns_record_unsupported", {
      message: `line ${line}: records of the type "${type}" are not kept here; nothing was imported`,
    });
  }
  if (type !== "TXT" && rest.length > 1)
    throw invalid(line, `the ${type} record has more than one content`);
  return {
    name: state.owner,
    type,
    content: contentOf(type, rest, state.origin),
    ttl: ttl ?? state.ttl,
    proxied: proxiedIn(comment),
  };
}

const KEPT = new Set(["A", "AAAA", "CNAME", "TXT"]);

function direct(tokens: readonly Token[], state: State, line: number): void {
  const [name, value] = [tokens[0]!.text.toUpperCase(), tokens[1]?.text];
  if (value === undefined) throw invalid(line, `${name.slice(0, 20)} says nothing`);
  if (name === "$ORIGIN") state.origin = whole(value, state.origin);
  else if (name === "$TTL") state.ttl = seconds(value.toUpperCase(), line);
  else throw invalid(line, `${name.slice(0, 20)} is not read here`);
}

function contentOf(type: string, tokens: readonly Token[], origin: string): string {
  const [first] = tokens;
  if (type === "CNAME") return whole(first!.text, origin);
  // The parts of a TXT record form one text.
  return type === "TXT" ? tokens.map(({ text }) => text).join("") : first!.text;
}

/** Expands `@`, a full name with its last dot, or a name relative to the origin. */
function whole(name: string, origin: string): string {
  const lower = name.toLowerCase();
  if (lower === "@") return origin;
  return lower.endsWith(".") ? lower.slice(0, -1) : `${lower}.${origin}`;
}

const UNITS: Readonly<Record<string, number>> = { S: 1, M: 60, H: 3_600, D: 86_400, W: 604_800 };

/** `3600`, or `1H30M` as BIND writes it. */
function seconds(text: string, line: number): number {
  if (text.length > 30 || !/^(?:\d+[SMHDW])*\d*$/.test(text)) {
    throw invalid(line, "its TTL is none");
  }
  const parts = [...text.matchAll(/(\d+)([SMHDW]?)/g)];
  const sum = parts.reduce((all, [, count, unit]) => all + Number(count) * (UNITS[unit!] ?? 1), 0);
  // Values outside the supported range become the nearest supported value.
  return sum <= 1 ? 1 : Math.min(86_400, Math.max(30, sum));
}

function proxiedIn(comment: string): boolean | null {
  const found = /\bcf_tags=(?:\S*,)?cf-proxied:(true|false)/.exec(comment.slice(0, 1_000))?.[1];
  return found === undefined ? null : found === "true";
}

/** Lines; parentheses join several lines into one. */
function entriesOf(text: string): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const began = line;
    const isContinued = text[at] === " " || text[at] === "\t";
    const tokens: Token[] = [];
    let comment = "";
    let depth = 0;
    for (; at < text.length; at += 1) {
      const char = text[at]!;
      if (char === "\n") {
        line += 1;
        if (depth === 0) break;
      } else if (char === "(") depth += 1;
      else if (char === ")") depth -= 1;
      else if (char === ";") {
        const end = text.indexOf("\n", at);
        comment = text.slice(at + 1, end === -1 ? text.length : end);
        at = (end === -1 ? text.length : end) - 1;
      } else if (!/\s/.test(char)) {
        const { token, end } = tokenAt(text, at, began);
        tokens.push(token);
        at = end - 1;
      }
      if (depth < 0 || depth > 1) throw invalid(line, "its parentheses are not in pairs");
    }
    if (depth !== 0) throw invalid(began, "its parentheses are not in pairs");
    at += 1;
    if (tokens.length > 0) entries.push({ line: began, isContinued, tokens, comment });
    if (entries.length > MOST) throw invalid(began, `a file has at most ${MOST} records`);
  }
  return entries;
}

/** Entries of a file. An account may have fewer records. */
const MOST = 10_000;

function tokenAt(text: string, from: number, line: number): { token: Token; end: number } {
  const isQuoted = text[from] === '"';
  let at = isQuoted ? from + 1 : from;
  let read = "";
  for (; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === "\n" || (isQuoted ? char === '"' : /[\s;()"]/.test(char))) break;
    if (char !== "\\") {
      read += char;
      continue;
    }
    const code = /^\d{3}/.exec(text.slice(at + 1, at + 4))?.[0];
    if (code === undefined) read += text[(at += 1)] ?? "";
    else {
      if (Number(code) > 255) throw invalid(line, `\\${code} is no character`);
      read += String.fromCodePoint(Number(code));
      at += 3;
    }
  }
  if (isQuoted && text[at] !== '"') throw invalid(line, "a quotation does not end on its line");
  return { token: { text: read, isQuoted }, end: isQuoted ? at + 1 : at };
}

/** A TXT record consists of parts of at most 255 characters. */
function written(type: string, content: string): string {
  if (type === "CNAME") return `${content}.`;
  if (type !== "TXT") return content;
  const parts = content.match(/[^]{1,255}/g) ?? [""];
  return parts.map((part) => `"${part.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(" ");
}

function invalid(line: number, what: string): Failure {
  return new Failure("dns_zone_file_invalid", {
    message: `line ${line}: ${what}; nothing was imported`,
  });
}
