import type { KeyObject } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { headerAt, OBJECT_IDENTIFIER } from "./der.ts";

const curves: Readonly<Record<string, string>> = {
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521",
};
const RSA_BITS = { minimum: 2048, maximum: 8192 };

/** `RSA 2048`, `RSA-PSS 3072`, `EC P-256`, `Ed25519`, `ML-DSA-65`. For keys that were admitted. */
export function describeKey(key: KeyObject): string {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
      return `RSA ${modulusLength}`;
    case "rsa-pss":
      return `RSA-PSS ${modulusLength}`;
    case "ec":
      return `EC ${curves[namedCurve ?? ""] ?? namedCurve}`;
    case "ed25519":
      return "Ed25519";
    default:
      return (key.asymmetricKeyType ?? "unknown").toUpperCase();
  }
}

/** Whether two public keys are one. Node's `equals` breaks TLS connections where their kinds differ. */
export function isSameKey(one: KeyObject, other: KeyObject): boolean {
  try {
    return one.asymmetricKeyType === other.asymmetricKeyType && one.equals(other);
  } catch {
    return false;
  }
}

/**
 * Whether workerd's own TLS (rustls) can present it, for bindings in `in-process` mode. The gateway
 * can present every key that is admitted.
 * @param description of `describeKey`
 */
export function worksInProcess(description: string): boolean {
  return /^(RSA (2048|3072|4096)|EC P-256|EC P-384|Ed25519)$/.test(description);
}

/**
 * Refuses keys that TLS peers refuse.
 * @param key the public one
 * @param owner for the message: `the private key in …,`, `certificate 2 (CN=…)`
 * @throws Failure `key_algorithm_unsupported`, `key_curve_unsupported` or `key_size_unsupported`
 */
export function admitKey(key: KeyObject, owner: string): void {
  const { modulusLength = 0, namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
    case "rsa-pss":
      if (modulusLength < RSA_BITS.minimum || modulusLength > RSA_BITS.maximum) {
        throw new Failure("key_size_unsupported", {
          message: `${owner} has an RSA key of ${modulusLength} bits where ${RSA_BITS.minimum} to ${RSA_BITS.maximum} are allowed`,
          facts: { bits: modulusLength },
        });
      }
      return;
    case "ec":
      if (!Object.hasOwn(curves, namedCurve) || !namesItsCurve(key)) {
        const curve = namesItsCurve(key) ? `the curve "${namedCurve}"` : "a curve without a name";
        throw new Failure("key_curve_unsupported", {
          message: `${owner} has a key on ${curve} where P-256, P-384 or P-521 is needed`,
          facts: { curve: namedCurve },
        });
      }
      return;
    case "ed25519":
    case "ml-dsa-44":
    case "ml-dsa-65":
    case "ml-dsa-87":
      return;
    default:
      throw new Failure("key_algorithm_unsupported", {
        message: `${owner} has a key of the kind "${describeKey(key)}"`,
        facts: { algorithm: key.asymmetricKeyType },
      });
  }
}

/** OpenSSL recognises a curve by its numbers too, but TLS peers want it named (RFC 5480). */
function namesItsCurve(key: KeyObject): boolean {
  const spki = spkiOf(key);
  const algorithm = headerAt(spki, headerAt(spki, 0).start);
  const { end } = headerAt(spki, algorithm.start);
  return end < algorithm.end && spki[end] === OBJECT_IDENTIFIER;
}

/** Its subjectPublicKeyInfo, DER. OpenSSL takes a tenth of a millisecond to write one, and it is asked for twice. */
export function spkiOf(publicKey: KeyObject): Buffer {
  const known = written.get(publicKey) ?? publicKey.export({ format: "der", type: "spki" });
  written.set(publicKey, known);
  return known;
}

const written = new WeakMap<KeyObject, Buffer>();
