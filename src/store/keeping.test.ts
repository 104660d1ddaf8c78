import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { engines, writable } from "../../test/helpers/database.ts";
import { keyPlace } from "../keys/places.ts";
import { Keyring } from "../keys/seal.ts";
import { bootstrap } from "./bootstrap.ts";
import { lastEvents, recordEvent } from "./certificates/certificate-events.ts";
import {
  deleteSource,
  listSources,
  putSource,
  updateSource,
} from "./certificates/watched-folders.ts";
import { deleteCertificate, insertCertificate } from "./certificates/certificates.ts";
import {
  dueNotices,
  endingBefore,
  insertNotice,
  listNotices,
  updateNotice,
} from "./certificates/expiry-notices.ts";
import {
  beginMasterKeyChange,
  checkMasterKey,
  endMasterKeyChange,
  findMasterKeyChange,
  keyBefore,
  wantedMasterKey,
} from "./master-key-check.ts";
import { sealedColumns } from "./sealed-records.ts";
import type { Store } from "./store.ts";
import { deleteWebhook, findWebhook, putWebhook } from "./webhooks.ts";

const now = new Date("2026-11-23T00:00:00Z");
const at = now.toISOString();
const end = "2026-12-01T00:00:00.000Z";
const keyring = new Keyring(randomBytes(32));

async function withCertificates(store: Store, ids: readonly string[]): Promise<string> {
  const first = await bootstrap(store, { scopes: [], now });
  const accountId = first?.accountId ?? "";
  for (const id of ids) {
    const owner = { accountId, certificateId: id, version: 1 };
    await insertCertificate(
      writable(store),
      {
        id,
        accountId,
        name: id,
        ca: 0,
        activeVersion: 1,
        allowedHosts: null,
        tied: 0,
        uploadedOn: at,
        updatedOn: at,
      },
      {
        ...owner,
        chain: "",
        sealedKey: keyring.seal(keyPlace(owner), `key of ${id}`),
        subject: "",
        issuer: "",
        serialNumber: "",
        signature: "",
        notBefore: at,
        notAfter: end,
        fingerprint: "",
        contentHash: id,
        names: [],
        keyKind: "",
        publicKeyHash: "",
        uploadedOn: at,
        revokedOn: null,
        warnings: [],
      },
    );
  }
  return accountId;
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`what is kept of certificates, on ${engine}`, () => {
    it("the last event of each kind, and none of a certificate that is gone", async () => {
      await using store = await open();
      const accountId = await withCertificates(store, ["a"]);
      const event = { certificateId: "a", kind: "handshake", at, body: "{}" } as const;
      await recordEvent(writable(store), event);
      await recordEvent(writable(store), { ...event, at: end });
      await recordEvent(writable(store), { ...event, kind: "failure" });
      await recordEvent(writable(store), { ...event, certificateId: "gone" });
      const events = await lastEvents(writable(store), accountId);
      assert.deepEqual([...events.keys()], ["a"]);
      assert.deepEqual(
        events
          .get("a")
          ?.map((one) => [one.kind, one.at])
          .toSorted(),
        [
          ["failure", at],
          ["handshake", end],
        ],
      );
      await deleteCertificate(writable(store), "a");
      assert.equal((await lastEvents(writable(store), accountId)).size, 0);
    });

    it("notices, each threshold of a version once", async () => {
      await using store = await open();
      const accountId = await withCertificates(store, ["a", "b"]);
      const notice = {
        id: "1",
        accountId,
        certificateId: "a",
        version: 1,
        threshold: 14,
        createdOn: at,
        attempts: 0,
        nextAttemptOn: at,
        deliveredOn: null,
        lastError: null,
      };
      await insertNotice(writable(store), notice);
      await assert.rejects(insertNotice(writable(store), { ...notice, id: "2" }));
      const ending = await endingBefore(writable(store), new Date("2026-12-02"));
      const noticed = new Map(ending.map((one) => [one.certificate.id, one.noticed]));
      assert.deepEqual(
        noticed,
        new Map([
          ["a", [14]],
          ["b", []],
        ]),
      );
      assert.deepEqual(await endingBefore(writable(store), now), []);
      assert.deepEqual(await dueNotices(writable(store), now, 10), [notice]);
      // A clock that was a year ahead said when to try again.
      const ahead = { nextAttemptOn: "2027-11-23T00:00:00.000Z" };
      await updateNotice(writable(store), "1", ahead);
      assert.deepEqual(await dueNotices(writable(store), now, 10), [{ ...notice, ...ahead }]);
      await updateNotice(writable(store), "1", { nextAttemptOn: "2026-11-23T06:00:00.000Z" });
      assert.deepEqual(await dueNotices(writable(store), now, 10), []);
      await updateNotice(writable(store), "1", { nextAttemptOn: null, deliveredOn: at });
      assert.deepEqual(await dueNotices(writable(store), now, 10), []);
      assert.equal((await listNotices(writable(store), accountId)).length, 1);
      await deleteCertificate(writable(store), "a");
      assert.equal((await listNotices(writable(store), accountId)).length, 0);
    });

    it("one folder for each certificate, one webhook for each account", async () => {
      await using store = await open();
      const accountId = await withCertificates(store, ["a"]);
      const source = {
        certificateId: "a",
        accountId,
        folder: "/one",
        certificateFile: null,
        keyFile: null,
        createdOn: at,
        takenOn: null,
        failedOn: null,
        failure: null,
      };
      await putSource(writable(store), source);
      await putSource(writable(store), { ...source, folder: "/two" });
      await updateSource(writable(store), "a", { takenOn: at });
      assert.deepEqual(await listSources(writable(store)), [
        { ...source, folder: "/two", takenOn: at },
      ]);
      assert.equal((await deleteSource(writable(store), "a"))?.folder, "/two");
      assert.equal(await deleteSource(writable(store), "a"), null);
      const sealedSecret = keyring.seal(keyPlace({ ...source, version: 1 }), "x");
      await putWebhook(writable(store), {
        accountId,
        url: "https://one/",
        sealedSecret,
        updatedOn: at,
      });
      await putWebhook(writable(store), {
        accountId,
        url: "https://two/",
        sealedSecret,
        updatedOn: at,
      });
      assert.equal((await findWebhook(writable(store), accountId))?.url, "https://two/");
      assert.equal(await deleteWebhook(writable(store), accountId), true);
      assert.equal(await deleteWebhook(writable(store), accountId), false);
    });

    it("every sealed record comes once, in batches of any size", async () => {
      await using store = await open();
      await withCertificates(store, ["a", "b", "c", "d", "e"]);
      for (const limit of [1, 2, 5, 10]) {
        const texts: string[] = [];
        for (const column of sealedColumns) {
          let after: string | null = "";
          while (after !== null) {
            const batch = await column.batch(writable(store), after, limit);
            for (const { place, sealed } of batch.records) {
              if (place.kind !== "audit-head") texts.push(keyring.unseal(place, sealed));
            }
            after = batch.next;
          }
        }
        assert.deepEqual(
          texts,
          ["a", "b", "c", "d", "e"].map((id) => `key of ${id}`),
          `${limit}`,
        );
      }
    });

    it("a change of the master key, from its begin to its end", async () => {
      await using store = await open();
      assert.equal(await wantedMasterKey(writable(store)), null);
      const [one, two] = [randomBytes(32), randomBytes(32)];
      await checkMasterKey(writable(store), new Keyring(one));
      const next = new Keyring(two);
      await beginMasterKeyChange(writable(store), next, one, now);
      assert.equal(await wantedMasterKey(writable(store)), next.masterKeyId);
      const change = await findMasterKeyChange(writable(store));
      assert.ok(change);
      assert.deepEqual(keyBefore(change, next), one);
      assert.throws(() => keyBefore(change, new Keyring(one)), { code: "master_key_wrong" });
      await endMasterKeyChange(writable(store));
      assert.equal(await findMasterKeyChange(writable(store)), undefined);
      await checkMasterKey(writable(store), next);
    });
  });
}
