import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { it } from "node:test";
import * as fc from "fast-check";
import { refusal } from "../../test/helpers/refusal.ts";
import * as places from "./places.ts";
import { Keyring } from "./seal.ts";

/** As ids are: the parts of a place never have a slash in them, but a binding's name may. */
const id = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/);
const owner = fc.record({
  accountId: id,
  certificateId: id,
  version: fc.nat(),
  scriptName: id,
  versionId: id,
  name: fc.string({ minLength: 1 }),
});
type Owner = typeof owner extends fc.Arbitrary<infer T> ? T : never;

/** Each place with what it is made from: two are the same where that is. */
const made: readonly (readonly [string, (o: Owner) => places.Place, (o: Owner) => unknown[]])[] = [
  ["key", places.keyPlace, (o) => [o.accountId, o.certificateId, o.version]],
  ["secret", places.secretPlace, (o) => [o.accountId, o.scriptName, o.versionId, o.name]],
  ["webhook", (o) => places.webhookPlace(o.accountId), (o) => [o.accountId]],
  [
    "identity",
    (o) => places.identityKeyPlace(o.accountId, o.certificateId),
    (o) => [o.accountId, o.certificateId],
  ],
  [
    "root",
    (o) => places.identityRootKeyPlace(o.accountId, o.certificateId),
    (o) => [o.accountId, o.certificateId],
  ],
  ["totp", (o) => places.totpPlace(o.accountId), (o) => [o.accountId]],
  [
    "access",
    (o) => places.accessKeyPlace(o.accountId, o.certificateId),
    (o) => [o.accountId, o.certificateId],
  ],
  [
    "acme external",
    (o) => places.acmeExternalKeyPlace(o.accountId, o.certificateId),
    (o) => [o.accountId, o.certificateId],
  ],
  ["pulls", (o) => places.pullAuthorityPlace(o.certificateId), (o) => [o.certificateId]],
  ["head", () => places.auditHeadPlace, () => []],
  ["base", () => places.auditBasePlace, () => []],
  ["check", () => places.masterKeyCheckPlace, () => []],
  ["change", () => places.masterKeyChangePlace, () => []],
];

it("a record opens in its own place, and in no other that is made of anything else", () => {
  const keyring = new Keyring(randomBytes(32));
  const any = fc.tuple(fc.constantFrom(...made), owner);
  fc.assert(
    fc.property(any, any, ([one, from], [other, of]) => {
      const [kind, place, parts] = one;
      const [otherKind, otherPlace, otherParts] = other;
      const sealed = keyring.seal(place(from), "text");
      const same =
        kind === otherKind && JSON.stringify(parts(from)) === JSON.stringify(otherParts(of));
      if (same) assert.equal(keyring.unseal(otherPlace(of), sealed), "text");
      else refusal("sealed_record_damaged", () => keyring.unseal(otherPlace(of), sealed));
      assert.equal(keyring.unseal(place({ ...from }), sealed), "text");
    }),
    { numRuns: 500 },
  );
});

it("the key of a certificate is in the same place by its parts and by the id of these", () => {
  const parts = { accountId: "a", certificateId: "c", version: 3 };
  const byId = places.presentedKeyPlace({ accountId: "a", sealedId: places.keyPlace(parts).id });
  assert.deepEqual(byId, places.keyPlace(parts));
});

it("places stay as they are in existing databases, whose records open nowhere else", () => {
  const secret = { accountId: "a", scriptName: "s", versionId: "v", name: "NAME" };
  const key = { accountId: "a", certificateId: "c", version: 3 };
  const written: readonly (readonly [places.Place, string])[] = [
    [places.keyPlace(key), "certificate-key|a|c/3"],
    [places.presentedKeyPlace({ accountId: "a", sealedId: "c/3" }), "certificate-key|a|c/3"],
    [places.secretPlace(secret), "secret|a|s/v/NAME"],
    [places.formerSecretPlace("a", "s/NAME"), "secret|a|s/NAME"],
    [places.webhookPlace("a"), "webhook-secret|a|webhook"],
    [places.identityKeyPlace("a", "i"), "identity-key|a|i"],
    [places.identityRootKeyPlace("a", "i"), "identity-key|a|i/root"],
    [places.totpPlace("u"), "totp||u"],
    [places.accessKeyPlace("a", "k"), "access-key|a|k"],
    [places.hostKeyPlace("a", "c"), "host-key|a|c"],
    [places.databasePasswordPlace("a", "d"), "database-password|a|d"],
    [places.pullAuthorityPlace("p"), "pull-authority-key||p"],
    [places.auditHeadPlace, "audit-head||head"],
    [places.auditBasePlace, "audit-head||base"],
    [places.localAuthorityPlace, "local-authority-key||local"],
    [places.masterKeyCheckPlace, "master-key-check||store"],
    [places.masterKeyChangePlace, "master-key||store"],
  ];
  for (const [{ kind, account, id: of }, text] of written) {
    assert.equal(`${kind}|${account}|${of}`, text);
  }
});
