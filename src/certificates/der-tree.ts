import * as asn1js from "asn1js";

/** One value of DER, with just what reading a certificate's own bytes needs. */
export interface DerNode {
  readonly tag: number;
  /** Of the context, as `[0]`. */
  readonly isContext: boolean;
  readonly children: readonly DerNode[];
  /** Without its tag and length. */
  readonly content: Uint8Array;
  /** With both. */
  readonly whole: Uint8Array;
}

/** Null: not DER. Never throws. */
export function readDer(bytes: Uint8Array): DerNode | null {
  try {
    const { offset, result } = asn1js.fromBER(bytes);
    return offset === -1 ? null : nodeOf(result);
  } catch {
    return null;
  }
}

function nodeOf(block: asn1js.AsnType): DerNode {
  const { idBlock, lenBlock } = block;
  const whole = new Uint8Array(block.valueBeforeDecodeView);
  const isConstructed = block instanceof asn1js.Constructed;
  return {
    tag: idBlock.tagNumber,
    isContext: idBlock.tagClass === CONTEXT,
    children: isConstructed ? block.valueBlock.value.map(nodeOf) : [],
    content: whole.subarray(idBlock.blockLength + lenBlock.blockLength),
    whole,
  };
}

const CONTEXT = 3;
