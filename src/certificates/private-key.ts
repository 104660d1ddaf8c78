import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { requireDer } from "./der.ts";
import { admitKey } from "./key-kinds.ts";
import { describeField, isEncrypted, type PemBlock } from "./pem.ts";

export interface PrivateKey {
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
}

/** By PEM label; the others are PKCS #8. */
const encodings: ReadonlyMap<string, "pkcs1" | "sec1"> = new Map([
  ["RSA PRIVATE KEY", "pkcs1"],
  ["EC PRIVATE KEY", "sec1"],
]);

/**
 * @throws Failure `private_key_encrypted`, `private_key_malformed`, `key_algorithm_unsupported`,
 * `key_curve_unsupported` or `key_size_unsupported`
 */
export function readPrivateKey(block: PemBlock): PrivateKey {
  const place = `the private key in ${describeField(block.field)}, line ${block.line},`;
  const facts = { field: block.field, line: block.line };
  if (isEncrypted(block)) {
    throw new Failure("private_key_encrypted", { message: `${place} is encrypted`, facts });
  }
  const { key, publicKey } = decode(block, place, facts);
  admitKey(publicKey, place);
  if (!works(key, publicKey)) {
    throw new Failure("private_key_malformed", {
      message: `${place} makes signatures that its own public key does not verify`,
      facts,
    });
  }
  return { key, publicKey };
}

function decode(
  block: PemBlock,
  place: string,
  facts: Readonly<Record<string, unknown>>,
): PrivateKey {
  try {
    requireDer(block.der);
    const type = encodings.get(block.label) ?? "pkcs8";
    const key = createPrivateKey({ key: block.der, format: "der", type });
    return { key, publicKey: createPublicKey(key) };
  } catch (cause) {
    throw new Failure("private_key_malformed", {
      message: `${place} is not a well-formed "${block.label}"`,
      cause,
      facts,
    });
  }
}

/** The numbers of a damaged key can be read and still not belong together. */
function works(key: KeyObject, publicKey: KeyObject): boolean {
  const message = randomBytes(32);
  const hash = key.asymmetricKeyType?.startsWith("rsa") || key.asymmetricKeyType === "ec";
  try {
    const signature = sign(hash ? "sha256" : null, message, key);
    return verify(hash ? "sha256" : null, message, publicKey, signature);
  } catch {
    return false;
  }
}
