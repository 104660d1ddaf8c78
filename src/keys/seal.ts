import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import type { Place } from "./places.ts";

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
  #current: MasterKey;
  /** By id. More than one only while records are re-wrapped, and until the process ends. */
  readonly #known: Map<string, MasterKey> = new Map();

  /** @param masterKey exactly 32 bytes */
  constructor(masterKey: Uint8Array) {
    this.#current = identify(masterKey);
    this.#known.set(this.#current.id, this.#current);
  }

  /** Names the master key that seals, without revealing it: 8 hex digits of a hash. */
  get masterKeyId(): string {
    return this.#current.id;
  }

  /** Seals with another master key from now on. What the ones before sealed still opens. */
  adopt(masterKey: Uint8Array): void {
    this.#current = identify(masterKey);
    this.#known.set(this.#current.id, this.#current);
  }

  /** Opens what another master key sealed, too; seals as before. */
  admit(masterKey: Uint8Array): void {
    const admitted = identify(masterKey);
    this.#known.set(admitted.id, admitted);
  }

  /** 32 bytes for another purpose, which the master key does not follow from. */
  derive(purpose: string): Buffer {
    const info = `countersign derived key ${purpose}`;
    return Buffer.from(hkdfSync("sha256", this.#current.key, "", info, 32));
  }

  seal(place: Place, plaintext: string | Uint8Array): Sealed {
    return this.wrap(place, sealBody(place, plaintext));
  }

  /** Makes a record from a plaintext that another process has sealed. Its data key is wiped. */
  wrap(place: Place, { dataKey, body }: SealedBody): Sealed {
    try {
      return join(this.#current, place, dataKey, Buffer.from(body));
    } finally {
      dataKey.fill(0);
    }
  }

  /**
   * @throws Failure `master_key_wrong` if another master key sealed it, `sealed_record_damaged` if
   * it was altered or belongs to another place
   */
  unseal(place: Place, sealed: Sealed): string {
    return this.unsealBytes(place, sealed).toString("utf8");
  }

  /** The same as a buffer, which the caller wipes. A string cannot be wiped. */
  unsealBytes(place: Place, sealed: Sealed): Buffer {
    return this.#open(place, sealed, (dataKey, body) =>
      decrypt(dataKey, associated("body", place), body),
    );
  }

  /**
   * Seals the record of one place again for another place. No plaintext is left in memory.
   * @throws Failure `master_key_wrong`, `sealed_record_damaged`
   */
  reseal(from: Place, to: Place, sealed: Sealed): Sealed {
    const plaintext = this.unsealBytes(from, sealed);
    try {
      return this.seal(to, plaintext);
    } finally {
      plaintext.fill(0);
    }
  }

  /**
   * The same record, wrapped by the master key that seals now: its data key is, its plaintext is
   * never, opened.
   * @throws Failure `master_key_wrong`, `sealed_record_damaged`
   */
  rewrap(place: Place, sealed: Sealed): Sealed {
    return this.#open(place, sealed, (dataKey, body) => join(this.#current, place, dataKey, body));
  }

  /** The record itself if the current master key wraps it, otherwise a re-wrapped one. */
  fresh(place: Place, sealed: Sealed): Sealed {
    return masterKeyIdOf(sealed) === this.masterKeyId ? sealed : this.rewrap(place, sealed);
  }

  #open<T>(place: Place, sealed: Sealed, use: (dataKey: Buffer, body: Buffer) => T): T {
    const { masterKeyId, wrapped, body } = split(sealed, place);
    const master = this.#known.get(masterKeyId);
    if (master === undefined) {
      throw new Failure("master_key_wrong", {
        message: `the ${place.kind} of "${place.id}" was sealed with master key ${masterKeyId}, this is ${this.masterKeyId}`,
      });
    }
    try {
      const dataKey = decrypt(master.key, associated("wrap", place), wrapped);
      try {
        return use(dataKey, body);
      } finally {
        dataKey.fill(0);
      }
    } catch (cause) {
      throw damaged(place, cause);
    }
  }
}

/** A plaintext that is sealed, with the data key that opens it: to be wrapped by the master key. */
export interface SealedBody {
  readonly dataKey: Uint8Array;
  readonly body: Uint8Array;
}

/** The part of sealing that needs the plaintext. It takes no master key. */
export function sealBody(place: Place, plaintext: string | Uint8Array): SealedBody {
  const dataKey = randomBytes(32);
  const bytes = typeof plaintext === "string" ? Buffer.from(plaintext, "utf8") : plaintext;
  return { dataKey, body: encrypt(dataKey, associated("body", place), bytes) };
}

/** The plaintext that `sealBody` sealed. The caller wipes it. */
export function openBody(place: Place, { dataKey, body }: SealedBody): Buffer {
  return decrypt(dataKey, associated("body", place), Buffer.from(body));
}

/** The id of the master key that sealed a record: public, it stands in the record. */
export function masterKeyIdOf(sealed: Sealed): string {
  return sealed.split(".")[1] ?? "";
}

/** The part that a change of the master key leaves as it is. */
export function bodyOf(sealed: Sealed): string {
  return sealed.split(".")[3] ?? "";
}

interface MasterKey {
  readonly id: string;
  readonly key: Buffer;
}

function identify(masterKey: Uint8Array): MasterKey {
  if (masterKey.byteLength !== 32) {
    throw new Failure("master_key_malformed", {
      message: `the master key has ${masterKey.byteLength} bytes where 32 are needed`,
    });
  }
  const key = Buffer.from(masterKey);
  const hash = createHash("sha256").update("countersign master key id\0").update(key);
  return { id: hash.digest("hex").slice(0, 8), key };
}

function join(master: MasterKey, place: Place, dataKey: Uint8Array, body: Buffer): Sealed {
  const wrapped = encrypt(master.key, associated("wrap", place), dataKey);
  return ["v1", master.id, encode(wrapped), encode(body)].join(".") as Sealed;
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
  // Node decodes base64url leniently: an altered record must not be accepted as the original.
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

function encrypt(key: Uint8Array, associatedData: Buffer, plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associatedData);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Uint8Array, associatedData: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12), {
    authTagLength: 16,
  });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.subarray(-16));
  // All of it: nothing comes from `final` in this mode, and no copy is made that would stay.
  const plaintext = decipher.update(sealed.subarray(12, -16));
  decipher.final();
  return plaintext;
}

function encode(bytes: Buffer): string {
  return bytes.toString("base64url");
}

function decode(text: string): Buffer {
  return Buffer.from(text, "base64url");
}
