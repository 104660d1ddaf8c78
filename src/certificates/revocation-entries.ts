import { headerAt, type Header } from "./der.ts";

/** A revocation list in two: its many entries, and what says whose they are. */
export interface SplitList {
  /** What its CA signed: all of it but the signature. DER. */
  readonly signed: Uint8Array;
  /** The list without its entries, DER. Its signature does not fit. */
  readonly rest: Uint8Array;
  /** Of its entries, hexadecimal, as they stand there. */
  readonly serials: readonly string[];
}

/**
 * Walks over the entries once. A library makes some ten objects of each, which takes half a second where a list has
 * thousands: everybody else would wait for it.
 * @throws Error if it is no list in DER, or has more entries
 */
export function splitList(der: Uint8Array, mostEntries: number): SplitList {
  const list = within(der, 0, der.length, SEQUENCE);
  if (list.end !== der.length) throw new Error("trailing bytes");
  const signed = within(der, list.start, list.end, SEQUENCE);
  let at = signed.start;
  const pass = (tags: readonly number[]): boolean => {
    if (at >= signed.end) return false;
    const { tag, tagClass, end } = headerAt(der, at);
    if (tagClass !== UNIVERSAL || !tags.includes(tag)) return false;
    at = end;
    return true;
  };
  pass([INTEGER]);
  // Its algorithm, its issuer and its date.
  if (!pass([SEQUENCE]) || !pass([SEQUENCE]) || !pass(TIMES)) throw new Error("no list");
  pass(TIMES);
  const begin = at;
  const serials = pass([SEQUENCE]) ? serialsOf(der, begin, signed.end, mostEntries) : [];
  const kept = [der.subarray(signed.start, begin), der.subarray(at, signed.end)];
  return {
    signed: der.subarray(list.start, signed.end),
    rest: sequence([sequence(kept), der.subarray(signed.end, list.end)]),
    serials,
  };
}

function serialsOf(der: Uint8Array, begin: number, limit: number, most: number): string[] {
  const entries = within(der, begin, limit, SEQUENCE);
  const serials: string[] = [];
  for (let at = entries.start; at < entries.end;) {
    const entry = within(der, at, entries.end, SEQUENCE);
    const serial = within(der, entry.start, entry.end, INTEGER);
    if (serials.length === most) throw new TooManyEntries();
    serials.push(Buffer.from(der.subarray(serial.start, serial.end)).toString("hex"));
    at = entry.end;
  }
  return serials;
}

export class TooManyEntries extends Error {}

/** The header of a value that ends before `limit`. @throws Error */
function within(der: Uint8Array, at: number, limit: number, tag: number): Header {
  const header = headerAt(der, at);
  if (header.tagClass !== UNIVERSAL || header.tag !== tag || header.end > limit) {
    throw new Error("not what a list has there");
  }
  return header;
}

function sequence(parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  // The four bytes of a length are not the shortest, which only we would refuse.
  return Buffer.concat([Buffer.from([0x30, 0x84]), length, content]);
}

const UNIVERSAL = 0;
const INTEGER = 2;
const SEQUENCE = 16;
/** UTCTime and GeneralizedTime. */
const TIMES = [23, 24];
