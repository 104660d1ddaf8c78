import assert from "node:assert/strict";
import { before, test } from "node:test";
import { makeAuthority } from "../../../test/helpers/pki.ts";
import type { CertificateVersion } from "../../contract/change-feed.ts";
import { presentedKeyPlace } from "../../keys/places.ts";
import { Keyring } from "../../keys/seal.ts";
import { HeldCertificates } from "./held-certificates.ts";

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const keyring = new Keyring(Buffer.alloc(32, 1));
let valid: CertificateVersion;
/** Valid from an hour later on. */
let later: CertificateVersion;

before(async () => {
  const authority = await makeAuthority();
  const version = async (number: number, notBefore: number): Promise<CertificateVersion> => {
    const { chain, key } = await authority.issue({
      subject: `CN=v${number}`,
      notBefore: new Date(notBefore),
      notAfter: new Date(notBefore + 10 * HOUR),
    });
    const place = { accountId: "a", sealedId: `s${number}` };
    return {
      ...place,
      certificateId: "c",
      name: null,
      version: number,
      chain,
      sealedKey: keyring.seal(presentedKeyPlace(place), key),
      allowedHosts: null,
      trust: null,
      revokedOn: null,
    };
  };
  valid = await version(1, START - HOUR);
  later = await version(2, START + HOUR);
});

function world(): { held: HeldCertificates; time: { now: number } } {
  const time = { now: START };
  const clock = { now: () => time.now, after: () => assert.fail("it waits for nothing") };
  return { held: new HeldCertificates(keyring, clock), time };
}

/** As a Worker's identity. */
function ofWorker(certificate: CertificateVersion): CertificateVersion {
  return { ...certificate, certificateId: "identity:w" };
}

function presents(held: HeldCertificates, certificateId = "c"): number | string {
  try {
    return held.credential("a", certificateId).version;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("what was set is presented, by its account alone, until it is removed", () => {
  const { held } = world();
  held.set(valid);
  assert.equal(presents(held), 1);
  assert.throws(() => held.credential("b", "c"), {
    code: "certificate_gone",
    message: "certificate c does not exist in account b",
    facts: { certificateId: "c" },
  });
  held.set({ ...later, certificateId: "d" });
  assert.deepEqual(
    held.usable().map(({ version }) => version),
    [1, 2],
  );
  held.remove("a", "c");
  assert.equal(presents(held), "certificate_gone");
});

test("a certificate is presented from its first moment to its last, by the clock of each time", () => {
  const { held, time } = world();
  held.set(later);
  assert.equal(presents(held), "certificate_not_yet_valid");
  time.now = START + HOUR;
  assert.equal(presents(held), 2);
  time.now = START + 11 * HOUR - 1;
  assert.equal(presents(held), 2);
  time.now += 1;
  assert.equal(presents(held), "certificate_expired");
});

test("what cannot be presented is refused, says why if nothing else is held, and replaces nothing", async () => {
  const { held, time } = world();
  const broken = { ...valid, version: 3, chain: "no chain" };
  assert.throws(() => held.set(broken), { code: "certificate_unusable" });
  assert.equal(presents(held), "certificate_unusable");
  assert.deepEqual(held.usable(), []);
  held.set(valid);
  assert.equal(presents(held), 1);
  assert.throws(() => held.set(broken), { code: "certificate_unusable" });
  assert.throws(() => held.set({ ...later, sealedKey: valid.sealedKey }), Error);
  assert.throws(() => held.set({ ...later, chain: valid.chain }), {
    code: "certificate_unusable",
  });
  assert.equal(presents(held), 1);
  time.now = START + 20 * HOUR;
  assert.throws(() => held.set(later), { code: "certificate_expired" });
});

test("a new version is in force at once, also one that is not valid yet; an identity waits for it", () => {
  const { held, time } = world();
  held.set(valid);
  held.set(later);
  assert.equal(presents(held), "certificate_not_yet_valid");
  held.set(ofWorker(valid));
  assert.throws(() => held.set(ofWorker(later)), { code: "certificate_not_yet_valid" });
  assert.equal(presents(held, "identity:w"), 1);
  time.now = START + HOUR;
  held.set(ofWorker(later));
  assert.equal(presents(held, "identity:w"), 2);
});

test("an identity that is not valid yet is held where the one before is none to wait with", () => {
  const { held, time } = world();
  held.set(ofWorker(later));
  assert.equal(presents(held, "identity:w"), "certificate_not_yet_valid");
  held.set({ ...ofWorker(later), version: 3 });
  const { held: other, time: since } = world();
  other.set({ ...ofWorker(valid), revokedOn: "2026-01-01" });
  other.set(ofWorker(later));
  assert.equal(presents(other, "identity:w"), "certificate_not_yet_valid");
  since.now = time.now = START + HOUR;
  assert.equal(presents(held, "identity:w"), 3);
  assert.equal(presents(other, "identity:w"), 2);
});

test("what was revoked is presented no more, and says since when", () => {
  const { held } = world();
  held.set(valid);
  held.set({ ...valid, revokedOn: "2026-01-02T00:00:00Z" });
  assert.throws(() => held.credential("a", "c"), {
    code: "certificate_revoked",
    message: "certificate c was revoked on 2026-01-02T00:00:00Z",
    facts: { certificateId: "c", version: 1, revokedOn: "2026-01-02T00:00:00Z" },
  });
  assert.deepEqual(held.usable(), []);
});

test("an identity says whether it was never there, was revoked, or went with its Worker", () => {
  const { held } = world();
  assert.throws(() => held.credential("a", "identity:w"), {
    code: "identity_missing",
    message: 'the Worker "w" has no identity yet',
    facts: { certificateId: "identity:w" },
  });
  const revoked = { ...ofWorker(valid), revokedOn: "today" };
  held.set(revoked);
  assert.throws(() => held.credential("a", "identity:w"), {
    code: "identity_revoked",
    message: "the identity:w was revoked on today",
    facts: { certificateId: "identity:w", version: 1, revokedOn: "today" },
  });
  held.set({ ...revoked, ofDeleted: true });
  assert.throws(() => held.credential("a", "identity:w"), {
    code: "identity_deleted",
    message: "the identity:w belonged to a Worker that was deleted on today",
    facts: { certificateId: "identity:w", version: 1, revokedOn: "today" },
  });
});

test("what was held before a restart is held again, and judged when it is needed", () => {
  const { held, time } = world();
  held.restore(valid);
  held.restore({ ...valid, certificateId: "revoked", revokedOn: "today" });
  held.restore({ ...valid, certificateId: "broken", chain: "no chain" });
  held.restore(ofWorker(valid));
  assert.deepEqual(
    held.usable().map(({ certificateId }) => certificateId),
    ["c", "identity:w"],
  );
  assert.equal(presents(held), 1);
  assert.equal(presents(held, "revoked"), "certificate_revoked");
  assert.equal(presents(held, "broken"), "certificate_unusable");
  assert.throws(() => held.set(ofWorker(later)), { code: "certificate_not_yet_valid" });
  assert.throws(() => held.set({ ...valid, chain: "no chain" }), { code: "certificate_unusable" });
  assert.equal(presents(held), 1);
  time.now = START + 9 * HOUR;
  assert.equal(presents(held), "certificate_expired");
});
