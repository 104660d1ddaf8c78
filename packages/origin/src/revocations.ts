/**
 * Revoked serial numbers of one CA. Each takes 20 bytes and one length byte in a flat table, so 100,000 take 6 MB and a
 * look-up touches one or two cache lines.
 */
export class RevokedSerials {
  #slots = new Uint32Array(WORDS * 16);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  /** @param serial hexadecimal, as X509Certificate has it; other text, and numbers over 20 bytes, are ignored */
  add(serial: string): void {
    const key = keyOf(serial);
    if (key === null || this.#find(this.#slots, key) >= 0) return;
    if ((this.#count + 1) * 2 > this.#slots.length / WORDS) this.#grow();
    this.#insert(this.#slots, key);
    this.#count++;
  }

  has(serial: string): boolean {
    const key = keyOf(serial);
    return key !== null && this.#find(this.#slots, key) >= 0;
  }

  /** All serial numbers, hexadecimal, upper case, without leading zeros, in no particular order. */
  [Symbol.iterator](): Generator<string> {
    return this.missingFrom(new RevokedSerials());
  }

  /** The serial numbers that the other list does not have, in the same form. */
  *missingFrom(other: RevokedSerials): Generator<string> {
    for (let at = 0; at < this.#slots.length; at += WORDS) {
      if (this.#slots[at] === 0) continue;
      const key = this.#slots.subarray(at, at + WORDS);
      if (other.#find(other.#slots, key) >= 0) continue;
      const words = [...key.subarray(1)].toReversed();
      const hex = words.map((word) => word.toString(16).padStart(8, "0")).join("");
      yield hex.replace(/^0+(?=.)/, "").toUpperCase();
    }
  }

  /** Index of the key's first word; if the key is missing, the one's complement of its place. */
  #find(slots: Uint32Array, key: Uint32Array): number {
    const mask = slots.length / WORDS - 1;
    for (let slot = hash(key) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      if (slots[at] === 0) return ~at;
      let same = true;
      for (let i = 0; i < WORDS && same; i++) same = slots[at + i] === key[i];
      if (same) return at;
    }
  }

  #insert(slots: Uint32Array, key: Uint32Array): void {
    slots.set(key, ~this.#find(slots, key));
  }

  #grow(): void {
    const larger = new Uint32Array(this.#slots.length * 2);
    for (let at = 0; at < this.#slots.length; at += WORDS) {
      if (this.#slots[at] !== 0) this.#insert(larger, this.#slots.subarray(at, at + WORDS));
    }
    this.#slots = larger;
  }
}

/** Six words for each entry: one for the length (never 0, so 0 marks a free slot), five for the number. */
const WORDS = 6;

const scratch = new Uint32Array(WORDS);

function keyOf(serial: string): Uint32Array | null {
  const { length } = serial;
  if (length === 0) return null;
  let begin = 0;
  // Leading zeros are skipped: `00AB` and `AB` are the same number.
  while (begin < length - 1 && serial.charCodeAt(begin) === 48) begin++;
  if (length - begin > 40) return null;
  scratch.fill(0);
  scratch[0] = 1;
  for (let i = length - 1, digit = 0; i >= begin; i--, digit++) {
    const value = hexDigit(serial.charCodeAt(i));
    if (value < 0) return null;
    const word = 1 + (digit >> 3);
    scratch[word] = (scratch[word]! | (value << ((digit & 7) * 4))) >>> 0;
  }
  return scratch;
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 65 && code <= 70) return code - 55;
  if (code >= 97 && code <= 102) return code - 87;
  return -1;
}

/**
 * CAs make random serial numbers, but an attacker may choose his own. The seed keeps them from all meeting in one slot.
 */
const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;

function hash(key: Uint32Array): number {
  let h = seed;
  for (let i = 1; i < WORDS; i++) {
    h = Math.imul(h ^ key[i]!, 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}
