import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { refusal } from "../../test/helpers/refusal.ts";
import { keyPlace, type Place } from "./places.ts";
import { bodyOf, Keyring, masterKeyIdOf, sealBody, type Sealed } from "./seal.ts";

const place = keyPlace({ accountId: "acme", certificateId: "cert-1", version: 1 });
const plaintext = "-----BEGIN PRIVATE KEY-----\nnot really\n-----END PRIVATE KEY-----\n";
const keyring = new Keyring(randomBytes(32));
const sealed = keyring.seal(place, plaintext);

/** Each variant changes one thing of a record that opens, so that the change is why it does not. */
function damaged(variant: string, at: Place = place): void {
  assert.equal(keyring.unseal(place, sealed), plaintext);
  const failure = refusal("sealed_record_damaged", () => keyring.unseal(at, variant as Sealed));
  assert.doesNotMatch(JSON.stringify([failure.message, failure.facts]), /not really/);
}

function change(index: number, edit: (part: string) => string): string {
  const parts = sealed.split(".");
  return parts.with(index, edit(parts[index] ?? "")).join(".");
}

function edited(edit: (bytes: Buffer) => Uint8Array): (part: string) => string {
  return (part) => Buffer.from(edit(Buffer.from(part, "base64url"))).toString("base64url");
}

/** Any units of UTF-16, pairs and halves of pairs among them. */
const anyText = fc
  .array(fc.oneof(fc.nat(0xffff), fc.constantFrom(0xd83d, 0xdca9, 0xd800, 0xdfff)))
  .map((units) => String.fromCharCode(...units));

describe("a sealed record opens", () => {
  it("in its place, whatever the text is", () => {
    fc.assert(
      fc.property(anyText, fc.string(), fc.string(), (text, account, id) => {
        const at: Place = { ...place, account, id, kind: "secret" };
        assert.equal(keyring.unseal(at, keyring.seal(at, text)), text.toWellFormed());
      }),
    );
  });

  it("with another instance of the same master key", () => {
    const bytes = randomBytes(32);
    const other = new Keyring(Uint8Array.from(bytes));
    assert.equal(other.unseal(place, new Keyring(bytes).seal(place, plaintext)), plaintext);
  });

  it("and is sealed differently each time, without the text in it", () => {
    const again = keyring.seal(place, plaintext);
    const [version, id, wrapped, body] = again.split(".");
    const before = sealed.split(".");
    assert.deepEqual([version, id], before.slice(0, 2));
    assert.notEqual(wrapped, before[2]);
    assert.notEqual(body, before[3]);
    assert(!Buffer.from(body ?? "", "base64url").includes("PRIVATE"));
  });
});

describe("a sealed record does not open", () => {
  for (const [index, name] of [
    [2, "wrapped data key"],
    [3, "ciphertext"],
  ] as const) {
    it(`with any one bit of its ${name} flipped`, () => {
      const length = Buffer.from(sealed.split(".")[index] ?? "", "base64url").byteLength;
      for (let bit = 0; bit < length * 8; bit += 1) {
        damaged(
          change(
            index,
            edited((bytes) => {
              const byte = bit >> 3;
              bytes.writeUInt8(bytes.readUInt8(byte) ^ (1 << (bit & 7)), byte);
              return bytes;
            }),
          ),
        );
      }
    });

    it(`with its ${name} cut off anywhere, at either end`, () => {
      const length = Buffer.from(sealed.split(".")[index] ?? "", "base64url").byteLength;
      for (let size = 0; size < length; size += 1) {
        damaged(
          change(
            index,
            edited((bytes) => bytes.subarray(0, size)),
          ),
        );
        damaged(
          change(
            index,
            edited((bytes) => bytes.subarray(length - size)),
          ),
        );
      }
    });

    it(`with a byte added to its ${name}, at either end`, () => {
      damaged(
        change(
          index,
          edited((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
        ),
      );
      damaged(
        change(
          index,
          edited((bytes) => Buffer.concat([Buffer.alloc(1), bytes])),
        ),
      );
    });

    it(`with the ${name} of another record of the same place`, () => {
      const other = keyring.seal(place, plaintext).split(".");
      damaged(change(index, () => other[index] ?? ""));
    });
  }

  it("with any one bit of its text flipped, spare bits of base64 too", () => {
    for (const text of [plaintext, `${plaintext}a`, `${plaintext}ab`]) {
      const record = Buffer.from(keyring.seal(place, text));
      assert.equal(keyring.unseal(place, record.toString() as Sealed), text);
      for (let bit = 0; bit < record.byteLength * 8; bit += 1) {
        const flipped = Buffer.from(record);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const opening = (): string => keyring.unseal(place, flipped.toString("latin1") as Sealed);
        assert.throws(opening, { name: "Failure" }, `bit ${bit}`);
      }
    }
  });

  it("with look-alikes of base64url, or with padding", () => {
    damaged(`${sealed}=`);
    damaged(`${sealed} `);
    damaged(change(3, (part) => `${part.slice(0, 4)}!${part.slice(4)}`));
  });

  it("with its two parts swapped", () => {
    const [version, id, wrapped, body] = sealed.split(".");
    damaged([version, id, body, wrapped].join("."));
  });

  it("in another place", () => {
    for (const at of [
      { ...place, account: "other" },
      { ...place, id: "cert-1/2" },
      { ...place, kind: "secret" as const },
      { ...place, kind: "master-key-check" as const },
      { ...place, account: place.id, id: place.account },
    ]) {
      damaged(sealed, at);
    }
  });

  it("in a place whose parts only join to the same text", () => {
    const at: Place = { ...place, account: "a", id: 'b","secret","c', kind: "secret" };
    const shifted: Place = { ...place, account: 'a","secret","b', id: "c", kind: "secret" };
    const record = keyring.seal(at, plaintext);
    assert.equal(keyring.unseal(at, record), plaintext);
    refusal("sealed_record_damaged", () => keyring.unseal(shifted, record));
  });

  it("with another version, a part missing, one more, or none at all", () => {
    const parts = sealed.split(".");
    damaged(change(0, () => "v2"));
    damaged(change(0, () => "V1"));
    damaged(change(0, () => ""));
    for (let index = 0; index < 4; index += 1) {
      damaged(parts.toSpliced(index, 1).join("."));
      damaged(change(index, () => ""));
    }
    damaged(`${sealed}.`);
    damaged(`${sealed}.AAAA`);
    damaged(`.${sealed}`);
    damaged("");
    damaged("...");
  });

  it("with another master key, which is said before anything is tried", () => {
    const other = new Keyring(randomBytes(32));
    assert.notEqual(other.masterKeyId, keyring.masterKeyId);
    refusal(
      "master_key_wrong",
      () => other.unseal(place, sealed),
      new RegExp(`sealed with master key ${keyring.masterKeyId}, this is ${other.masterKeyId}$`),
    );
  });

  it("with another master key, even if the record claims its id", () => {
    const other = new Keyring(randomBytes(32));
    const claimed = change(1, () => other.masterKeyId) as Sealed;
    refusal("sealed_record_damaged", () => other.unseal(place, claimed));
  });

  it("whatever text stands in its place", () => {
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.base64String(), { maxLength: 6 }).map((parts) => parts.join(".")),
      fc
        .tuple(fc.base64String(), fc.base64String())
        .map((parts) => ["v1", keyring.masterKeyId, ...parts].join(".")),
    );
    fc.assert(
      fc.property(text, (record) => {
        assert.throws(() => keyring.unseal(place, record as Sealed), { name: "Failure" });
      }),
      { numRuns: 500 },
    );
  });
});

it("a master key of another length is refused", () => {
  for (const length of [0, 16, 31, 33, 64]) {
    refusal(
      "master_key_malformed",
      () => new Keyring(new Uint8Array(length)),
      /where 32 are needed/,
    );
  }
});

it("a keyring keeps its key though the bytes it was given are wiped", () => {
  const bytes = randomBytes(32);
  const wiped = new Keyring(bytes);
  const record = wiped.seal(place, plaintext);
  bytes.fill(0);
  assert.equal(wiped.unseal(place, record), plaintext);
});

describe("what was written once", () => {
  const old = new Keyring(Buffer.alloc(32, 7));

  it("opens for ever: a record of the first version", () => {
    const record = [
      "v1",
      "f26fbb65",
      "XIgNjN5H2jAZlC7BOITDgBT81yEuGUgA1LyQDhR-driYJikm6l3Jn8EqXXxvaJH5-dJCIAkDjF0VfF_H",
      "AhCg4_gWz-5_R2VQiTGiV6DNgu4Ckg4TZuTsafaeWOkOoK3MgSrgEw",
    ].join(".");
    assert.equal(old.unseal(place, record as Sealed), "of version 1");
    assert.equal(old.masterKeyId, "f26fbb65");
  });

  it("is derived for ever: a key for another purpose, and another one for another", () => {
    const derived = "bd1b47fa4f9496710725f0ab787514012b69d7eace3fd54bbdd315b31f837aab";
    assert.equal(old.derive("a purpose").toString("hex"), derived);
    assert.notEqual(old.derive("another").toString("hex"), derived);
  });
});

describe("a change of the master key", () => {
  const [before, after] = [randomBytes(32), randomBytes(32)];

  it("seals with the new key, and opens what the old one sealed", () => {
    const changing = new Keyring(before);
    const record = changing.seal(place, plaintext);
    changing.adopt(after);
    assert.equal(changing.masterKeyId, new Keyring(after).masterKeyId);
    assert.equal(changing.unseal(place, record), plaintext);
    assert.equal(new Keyring(after).unseal(place, changing.seal(place, plaintext)), plaintext);
  });

  it("that comes is admitted first: it opens, and does not seal yet", () => {
    const admitting = new Keyring(before);
    admitting.admit(after);
    assert.equal(admitting.unseal(place, new Keyring(after).seal(place, plaintext)), plaintext);
    assert.equal(admitting.masterKeyId, new Keyring(before).masterKeyId);
  });

  it("re-wraps a record once, and leaves its ciphertext", () => {
    const changing = new Keyring(before);
    const record = changing.seal(place, plaintext);
    assert.equal(changing.fresh(place, record), record);
    changing.adopt(after);
    const rewrapped = changing.fresh(place, record);
    assert.equal(masterKeyIdOf(rewrapped), changing.masterKeyId);
    assert.equal(bodyOf(rewrapped), bodyOf(record));
    assert.notEqual(bodyOf(record), "");
    assert.equal(new Keyring(after).unseal(place, rewrapped), plaintext);
    assert.equal(changing.fresh(place, rewrapped), rewrapped);
    refusal("sealed_record_damaged", () => changing.rewrap({ ...place, id: "other" }, record));
  });

  it("finds no id and no ciphertext in what is no record", () => {
    assert.deepEqual([masterKeyIdOf("" as Sealed), bodyOf("" as Sealed)], ["", ""]);
  });
});

it("what was sealed elsewhere is wrapped, and its data key is wiped", () => {
  const elsewhere = sealBody(place, plaintext);
  assert.ok(elsewhere.dataKey.some((byte) => byte !== 0));
  assert.equal(keyring.unseal(place, keyring.wrap(place, elsewhere)), plaintext);
  assert.ok(elsewhere.dataKey.every((byte) => byte === 0));
});

it("a record that does not open is named by its place, not by what is in it", () => {
  const failure = refusal("sealed_record_damaged", () => keyring.unseal(place, "" as Sealed));
  assert.equal(failure.message, `the ${place.kind} of "${place.id}" in account acme does not open`);
});
