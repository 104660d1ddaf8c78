import { type DerNode, readDer } from "./der-tree.ts";

/** A name in the two forms in which OpenSSL, and with it nginx and Cloudflare, writes it. */
export interface DistinguishedName {
  /** `CN=client,O=Acme`: the most specific part first, after RFC 2253. */
  readonly rfc2253: string;
  /** `/O=Acme/CN=client`: `X509_NAME_oneline`. */
  readonly legacy: string;
}

/** Never throws. Always ASCII: what is not is escaped. */
export function renderName({ children }: DerNode): DistinguishedName {
  const parts = children.map((set) => set.children.map(attributeOf));
  const rfc2253 = parts
    .toReversed()
    .map((part) =>
      part
        .toReversed()
        .map(({ type, value }) => rfc2253Attribute(type, value))
        .join("+"),
    )
    .join(",");
  const legacy = parts.map((part) => `/${part.map(legacyAttribute).join("+")}`).join("");
  return { rfc2253, legacy };
}

interface Attribute {
  readonly type: string;
  readonly value: DerNode;
}

function attributeOf({ children: [type, value] }: DerNode): Attribute {
  return { type: objectIdentifier(type?.content ?? NONE), value: value ?? ABSENT };
}

const NONE = new Uint8Array();
const ABSENT: DerNode = { tag: 5, isContext: false, children: [], content: NONE, whole: NONE };

function legacyAttribute({ type, value }: Attribute): string {
  return `${SHORT[type] ?? type}=${escapeOneline(value.content)}`;
}

function rfc2253Attribute(type: string, value: DerNode): string {
  const name = SHORT[type];
  const text = name === undefined ? null : textOf(value);
  return `${name ?? type}=${text === null ? `#${upperHex(value.whole)}` : escapeRfc2253(text)}`;
}

/** Null: OpenSSL shows the bytes of such a type. */
function textOf({ tag, isContext, content }: DerNode): Buffer | null {
  const bytes = Buffer.from(content);
  if (isContext) return null;
  if (tag === UTF8) return bytes;
  if (tag === BMP && bytes.length % 2 === 0) return Buffer.from(bytes.swap16().toString("utf16le"));
  if (tag === UNIVERSAL && bytes.length % 4 === 0) return fromUniversal(bytes);
  return SINGLE_BYTE.has(tag) ? Buffer.from(bytes.toString("latin1")) : null;
}

const UTF8 = 12;
const BMP = 30;
const UNIVERSAL = 28;
/** Numeric, printable, T61, IA5, both times, visible. */
const SINGLE_BYTE: ReadonlySet<number> = new Set([18, 19, 20, 22, 23, 24, 26]);

function fromUniversal(bytes: Buffer): Buffer | null {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    const point = bytes.readUInt32BE(at);
    if (point > 0x10_ffff) return null;
    text += String.fromCodePoint(point);
  }
  return Buffer.from(text);
}

/** Each byte that is not printable ASCII becomes `\C3`, and what RFC 2253 gives a meaning `\,`. */
function escapeRfc2253(bytes: Buffer): string {
  let text = "";
  bytes.forEach((byte, at) => {
    const isFirst = at === 0;
    const isLast = at === bytes.length - 1;
    const character = String.fromCodePoint(byte);
    if (byte < 0x20 || byte > 0x7e) text += `\\${hexOf(byte)}`;
    else if (
      ',+"\\<>;'.includes(character) ||
      (isFirst && (character === "#" || character === " ")) ||
      (isLast && character === " ")
    ) {
      text += `\\${character}`;
    } else text += character;
  });
  return text;
}

function escapeOneline(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    const character = String.fromCodePoint(byte);
    if (byte < 0x20 || byte > 0x7e) text += `\\x${hexOf(byte)}`;
    else text += character === "/" || character === "+" ? `\\${character}` : character;
  }
  return text;
}

function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0").toUpperCase();
}

export function upperHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex").toUpperCase();
}

/** `2.5.4.3` */
export function objectIdentifier(content: Uint8Array): string {
  const numbers: bigint[] = [];
  let number = 0n;
  for (const byte of content.subarray(0, LONGEST_OID)) {
    number = (number << 7n) | BigInt(byte & 0x7f);
    if (byte & 0x80) continue;
    numbers.push(number);
    number = 0n;
  }
  const [first = 0n, ...rest] = numbers;
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...rest].join(".");
}

const LONGEST_OID = 64;

/** The value of an extension, or null. @param tbs `tbsCertificate` */
export function extensionOf(tbs: DerNode, oid: string): DerNode | null {
  const [list] = tbs.children.find(({ isContext, tag }) => isContext && tag === 3)?.children ?? [];
  for (const { children } of list?.children ?? []) {
    const [id] = children;
    const value = children.at(-1);
    if (id === undefined || value === undefined || objectIdentifier(id.content) !== oid) continue;
    return readDer(value.content);
  }
  return null;
}

/** OpenSSL's short names of what stands in names. */
const SHORT: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.4": "SN",
  "2.5.4.5": "serialNumber",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "street",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.12": "title",
  "2.5.4.13": "description",
  "2.5.4.15": "businessCategory",
  "2.5.4.16": "postalAddress",
  "2.5.4.17": "postalCode",
  "2.5.4.18": "postOfficeBox",
  "2.5.4.20": "telephoneNumber",
  "2.5.4.41": "name",
  "2.5.4.42": "GN",
  "2.5.4.43": "initials",
  "2.5.4.44": "generationQualifier",
  "2.5.4.45": "x500UniqueIdentifier",
  "2.5.4.46": "dnQualifier",
  "2.5.4.65": "pseudonym",
  "2.5.4.72": "role",
  "2.5.4.97": "organizationIdentifier",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.3": "mail",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "emailAddress",
  "1.2.840.113549.1.9.2": "unstructuredName",
  "1.2.840.113549.1.9.8": "unstructuredAddress",
  "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
  "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
  "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
};
