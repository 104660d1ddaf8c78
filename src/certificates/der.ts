import * as asn1js from "asn1js";

/**
 * Refuses what OpenSSL passes over and stricter TLS stacks do not: bytes after a value, lengths that
 * disagree or are not the shortest, booleans other than 00 and FF, an outermost value that is not of
 * a universal type.
 * @throws Error
 */
export function requireDer(bytes: ArrayBuffer | Uint8Array): void {
  const { offset, result } = asn1js.fromBER(bytes);
  if (offset !== bytes.byteLength) throw new Error("trailing bytes, or not DER");
  if (result.idBlock.tagClass !== UNIVERSAL) throw new Error("not of a universal type");
  // asn1js lets a value go on beyond the one that holds it; written again, the lengths are right.
  if (!Buffer.from(result.toBER()).equals(toBuffer(bytes))) throw new Error("lengths disagree");
  const pending: asn1js.AsnType[] = [result];
  for (const block of pending) {
    if (!hasShortestLength(block)) throw new Error("a length that is not the shortest");
    if (block instanceof asn1js.Constructed) pending.push(...block.valueBlock.value);
    if (block instanceof asn1js.Boolean && !isStrict(block)) throw new Error("a loose boolean");
  }
}

const UNIVERSAL = 1;

function toBuffer(bytes: ArrayBuffer | Uint8Array): Buffer {
  return bytes instanceof ArrayBuffer
    ? Buffer.from(bytes)
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hasShortestLength({ lenBlock }: asn1js.AsnType): boolean {
  const { length, blockLength, isIndefiniteForm } = lenBlock;
  const shortest = length < 0x80 ? 1 : 1 + Math.ceil(length.toString(16).length / 2);
  return !isIndefiniteForm && blockLength === shortest;
}

function isStrict({ valueBlock }: asn1js.Boolean): boolean {
  const [value, ...rest] = valueBlock.valueHexView;
  return rest.length === 0 && (value === 0 || value === 0xff);
}
