/**
 * Refuses what OpenSSL passes over and stricter TLS stacks do not: bytes after a value, lengths that
 * disagree or are not the shortest, booleans other than 00 and FF, an outermost value that is not of
 * a universal type. It walks the bytes once and makes no objects: an upload has many values.
 * @throws Error
 */
export function requireDer(bytes: ArrayBuffer | Uint8Array): void {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  const first = headerAt(view, 0);
  if (first.tagClass !== UNIVERSAL) throw new Error("not of a universal type");
  if (first.end !== view.length) throw new Error("trailing bytes, or not DER");
  /** Where the values end that hold the one at `at`. */
  const ends: number[] = [];
  for (let at = 0; at < view.length;) {
    const header = headerAt(view, at);
    if (header.end > (ends.at(-1) ?? view.length)) throw new Error("lengths disagree");
    refuseLoose(header, view.subarray(header.start, header.end));
    if (header.isConstructed) {
      ends.push(header.end);
      at = header.start;
    } else at = header.end;
    while (ends.at(-1) === at) ends.pop();
  }
}

/** What stands before a value's content. */
export interface Header {
  readonly tag: number;
  readonly tagClass: number;
  readonly isConstructed: boolean;
  /** Where its content starts and ends. */
  readonly start: number;
  readonly end: number;
}

export const OBJECT_IDENTIFIER = 6;

const UNIVERSAL = 0;
const BOOLEAN = 1;
const NULL = 5;
const SEQUENCE = 16;
const SET = 17;

/** Of the value at `at`. The number of a tag of several bytes, which no certificate has, is left out. @throws Error */
export function headerAt(bytes: Uint8Array, at: number): Header {
  const identifier = byteAt(bytes, at);
  let next = at + 1;
  const tag = identifier & 0x1f;
  if (tag === 0x1f) {
    if (byteAt(bytes, next) === 0x80) throw new Error("a tag that is not the shortest");
    while (byteAt(bytes, next) >= 0x80) next += 1;
    next += 1;
  }
  let length = byteAt(bytes, next);
  next += 1;
  if (length >= 0x80) {
    const count = length & 0x7f;
    // None: of indefinite length.
    if (count === 0 || count > 4) throw new Error("not a length of DER");
    length = 0;
    for (const end = next + count; next < end; next += 1)
      length = length * 256 + byteAt(bytes, next);
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new Error("a length that is not the shortest");
    }
  }
  const tagClass = identifier >> 6;
  const isConstructed = (identifier & 0x20) !== 0;
  return { tag, tagClass, isConstructed, start: next, end: next + length };
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new Error("it is cut off");
  return byte;
}

function refuseLoose({ tag, tagClass, isConstructed }: Header, content: Uint8Array): void {
  if (tagClass !== UNIVERSAL) return;
  if (isConstructed !== (tag === SEQUENCE || tag === SET)) throw new Error("a value in parts");
  if (tag === OBJECT_IDENTIFIER && !isIdentifier(content)) throw new Error("no object identifier");
  if (tag === NULL && content.length > 0) throw new Error("a null with content");
  if (tag !== BOOLEAN) return;
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) {
    throw new Error("a loose boolean");
  }
}

/** Each of its numbers ends, and none begins with a zero that it could do without. */
function isIdentifier(content: Uint8Array): boolean {
  const last = content.at(-1);
  if (last === undefined || last >= 0x80) return false;
  return content.every((byte, i) => byte !== 0x80 || (i > 0 && content[i - 1]! >= 0x80));
}

/** Whether a value holds object identifiers and nothing else. For bytes that are DER. */
export function holdsIdentifiers(bytes: Uint8Array): boolean {
  const { start, end } = headerAt(bytes, 0);
  for (let at = start; at < end; at = headerAt(bytes, at).end) {
    if (bytes[at] !== OBJECT_IDENTIFIER) return false;
  }
  return start < end;
}
