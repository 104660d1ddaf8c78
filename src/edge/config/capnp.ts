/** The contents of a file, read by workerd; the path is relative to the configuration's own folder. */
interface Embed {
  readonly embed: string;
}

/** A name that is written as it is: a value of an enum. */
interface Enumerant {
  readonly enumerant: string;
}

/** A value of Cap'n Proto's text form: structs are objects, unions objects with one key. */
export type CapnpValue =
  | string
  | boolean
  | Embed
  | Enumerant
  | readonly CapnpValue[]
  | { readonly [field: string]: CapnpValue };

/** Writes a value as Cap'n Proto text. Nothing in a string can end it early. */
export function capnpText(value: CapnpValue): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean") return String(value);
  if (isList(value)) return `[${value.map(capnpText).join(", ")}]`;
  if (isEmbed(value)) return `embed ${quote(value.embed)}`;
  if (isEnumerant(value)) return value.enumerant;
  const fields = Object.entries(value).map(([name, field]) => `${name} = ${capnpText(field)}`);
  return `(${fields.join(", ")})`;
}

/** Every byte that is not plain ASCII is written in hex: Cap'n Proto knows no `\u`. */
function quote(text: string): string {
  let quoted = '"';
  for (const byte of Buffer.from(text, "utf8")) {
    quoted += isPlain(byte)
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `${quoted}"`;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f && byte !== QUOTE && byte !== BACKSLASH;
}

function isList(value: CapnpValue): value is readonly CapnpValue[] {
  return Array.isArray(value);
}

type Struct = { readonly [field: string]: CapnpValue };

function isEmbed(value: Embed | Enumerant | Struct): value is Embed {
  return "embed" in value;
}

function isEnumerant(value: Enumerant | Struct): value is Enumerant {
  return "enumerant" in value;
}
