import * as asn1js from "asn1js";

/**
 * Refuses what OpenSSL passes over and stricter TLS stacks do not: bytes after the value, booleans
 * other than 00 and FF, an outermost value that is not of a universal type.
 * @throws Error
 */
export function requireDer(bytes: ArrayBuffer | Uint8Array): void {
  const { offset, result } = asn1js.fromBER(bytes);
  if (offset !== bytes.byteLength) throw new Error("trailing bytes, or not DER");
  if (result.idBlock.tagClass !== UNIVERSAL) throw new Error("not of a universal type");
  const pending: asn1js.AsnType[] = [result];
  for (const block of pending) {
    if (block instanceof asn1js.Constructed) pending.push(...block.valueBlock.value);
    if (block instanceof asn1js.Boolean && !isStrict(block))
      throw new Error("a boolean that is not DER");
  }
}

const UNIVERSAL = 1;

function isStrict({ valueBlock }: asn1js.Boolean): boolean {
  const [value, ...rest] = valueBlock.valueHexView;
  return rest.length === 0 && (value === 0 || value === 0xff);
}
