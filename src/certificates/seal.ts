import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { Failure } from "../failures.ts";

/** Where a sealed record belongs. It opens nowhere else: all three are authenticated with it. */
export interface Place {
  readonly account: string;
  readonly id: string;
  readonly kind: "certificate-key" | "secret" | "master-key-check";
}

/**
 * A sealed record: `v1.<master key id>.<wrapped data key>.<ciphertext>`, base64url parts. Each
 * part of ciphertext is `nonce (12) | AES-256-GCM ciphertext | tag (16)`, after NIST SP 800-38D.
 */
export type Sealed = string & { readonly __sealed: true };

/**
 * Envelope encryption: each record has a data key of its own, wrapped by the master key, so that
 * a new master key re-wraps 60 bytes a record and touches no plaintext.
 */
export class Keyring {
  /** Names the master key without revealing it: 8 hex digits of a hash. */
  readonly masterKeyId: string;
  readonly #masterKey: Buffer;

  /** @param masterKey exactly 32 bytes */
  constructor(masterKey: Uint8Array) {
    if (masterKey.byteLength !== 32) {
      throw new Failure("master_key_malformed", {
        message: `the master key has ${masterKey.byteLength} bytes where 32 are needed`,
      });
    }
    this.#masterKey = Buffer.from(masterKey);
    this.masterKeyId = createHash("sha256")
      .update("countersign master key id\0")
      .update(this.#masterKey)
      .digest("hex")
      .slice(0, 8);
  }

  seal(place: Place, plaintext: string): Sealed {
    const dataKey = randomBytes(32);
    try {
      const wrapped = encrypt(this.#masterKey, associated("wrap", place), dataKey);
      const body = encrypt(dataKey, associated("body", place), Buffer.from(plaintext, "utf8"));
      return ["v1", this.masterKeyId, encode(wrapped), encode(body)].join(".") as Sealed;
    } finally {
      dataKey.fill(0);
    }
  }

  /**
   * @throws Failure `master_key_wrong` if another master key sealed it, `sealed_record_damaged` if
   * it was altered or belongs to another place
   */
  unseal(place: Place, sealed: Sealed): string {
    const { masterKeyId, wrapped, body } = split(sealed, place);
    if (masterKeyId !== this.masterKeyId) {
      throw new Failure("master_key_wrong", {
        message: `the ${place.kind} of "${place.id}" was sealed with master key ${masterKeyId}, this is ${this.masterKeyId}`,
      });
    }
    try {
      const dataKey = decrypt(this.#masterKey, associated("wrap", place), wrapped);
      try {
        return decrypt(dataKey, associated("body", place), body).toString("utf8");
      } finally {
        dataKey.fill(0);
      }
    } catch (cause) {
      throw damaged(place, cause);
    }
  }
}

function split(
  sealed: Sealed,
  place: Place,
): { masterKeyId: string; wrapped: Buffer; body: Buffer } {
  const [version, masterKeyId, wrapped, body, ...rest] = sealed.split(".");
  if (version !== "v1" || !masterKeyId || !wrapped || !body || rest.length > 0) {
    throw damaged(place, undefined);
  }
  const parts = { masterKeyId, wrapped: decode(wrapped), body: decode(body) };
  // Node reads base64url leniently: a record that was altered must not pass for the one written.
  if (encode(parts.wrapped) !== wrapped || encode(parts.body) !== body) {
    throw damaged(place, undefined);
  }
  return parts;
}

function damaged(place: Place, cause: unknown): Failure {
  return new Failure("sealed_record_damaged", {
    message: `the ${place.kind} of "${place.id}" in account ${place.account} does not open`,
    cause,
  });
}

/** JSON, so that no two places can be written the same. */
function associated(layer: "wrap" | "body", place: Place): Buffer {
  return Buffer.from(JSON.stringify(["v1", layer, place.account, place.kind, place.id]));
}

function encrypt(key: Buffer, associatedData: Buffer, plaintext: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associatedData);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, associatedData: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12), {
    authTagLength: 16,
  });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
}

function encode(bytes: Buffer): string {
  return bytes.toString("base64url");
}

function decode(text: string): Buffer {
  return Buffer.from(text, "base64url");
}
