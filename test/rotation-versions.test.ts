import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { keyPlace } from "../src/keys/places.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { engines } from "./helpers/database.ts";
import { startControl, type Envelope, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";

const DAY = 86_400_000;
const base = "/accounts/{account}/countersign/certificates";

for (const [engine, open] of Object.entries(engines)) {
  describe(`rotation, on ${engine}`, () => {
    let now = new Date();
    let control: TestControl;
    let authority: TestAuthority;
    before(async () => {
      control = await startControl({ clock: () => now, open });
      authority = await makeAuthority("Rotation CA");
    });
    after(() => control[Symbol.asyncDispose]());

    const upload = async (leaf: TestCertificate, name: string): Promise<string> => {
      const body = { name, certificates: leaf.chain, private_key: leaf.key, ca: false };
      const answer = await control.call("POST", "/accounts/{account}/mtls_certificates", body);
      assert.equal(answer.status, 200, JSON.stringify(answer.errors));
      return answer.result.id;
    };
    const rotate = (id: string, leaf: TestCertificate, more: object = {}): Promise<Envelope> =>
      control.call("POST", `${base}/${id}/versions`, {
        certificates: leaf.chain,
        private_key: leaf.key,
        ...more,
      });
    const presented = async (
      id: string,
    ): Promise<{ version: number; key: string; revoked: boolean }> => {
      const certificate = await storeSource(control.store).certificate(control.accountId, id);
      assert.ok(certificate);
      const { version, sealedKey, revokedOn } = certificate;
      const place = keyPlace({ ...certificate, version });
      return {
        version,
        key: control.keyring.unseal(place, sealedKey),
        revoked: revokedOn !== null,
      };
    };
    const issue = (subject: string, days = 90): Promise<TestCertificate> =>
      authority.issue({ subject, notAfter: new Date(Date.now() + days * DAY) });

    test("a new version keeps the id, and is presented once the edge has it", async () => {
      const [one, two] = await Promise.all([issue("CN=rotate"), issue("CN=rotate")]);
      const id = await upload(one, "rotate");
      assert.deepEqual(await presented(id), { version: 1, key: one.key, revoked: false });
      const waits = control.edge.applications.length;
      const answer = await rotate(id, two);
      assert.equal(answer.status, 200, JSON.stringify(answer.errors));
      assert.equal(answer.result.version, 2);
      assert.equal(answer.result.active, true);
      assert.equal(JSON.stringify(answer).includes("PRIVATE KEY"), false);
      assert.equal(control.edge.applications.length, waits + 1, "the answer waited for the edge");
      assert.ok((control.edge.applications.at(-1) ?? 0) > 0);
      assert.deepEqual(await presented(id), { version: 2, key: two.key, revoked: false });
      const shown = await control.call("GET", `/accounts/{account}/mtls_certificates/${id}`);
      assert.equal(shown.result.certificates, two.chain);
    });

    test("what is wrong with a new version is said, and the old one stays", async () => {
      const [good, other, expired] = await Promise.all([
        issue("CN=good"),
        issue("CN=other"),
        authority.issue({
          subject: "CN=expired",
          notBefore: new Date(now.getTime() - DAY),
          notAfter: new Date(now.getTime() - 3_600_000),
        }),
      ]);
      const id = await upload(good, "stays");
      const refusals: [string, object][] = [
        ["pem_missing", { certificates: "no PEM" }],
        ["private_key_mismatch", { certificates: other.chain }],
        ["private_key_missing", { certificates: other.chain, private_key: null }],
        ["upload_expired", { certificates: expired.chain, private_key: expired.key }],
        ["certificate_duplicate", {}],
      ];
      for (const [code, change] of refusals) {
        const answer = await rotate(id, good, change);
        assert.equal(codeOf(answer), code, JSON.stringify(answer.errors));
        assert.deepEqual(await presented(id), { version: 1, key: good.key, revoked: false });
      }
      const allowed = await rotate(id, expired, { allow_expired: true, activate: false });
      assert.equal(allowed.result.active, false);
      assert.equal((await presented(id)).version, 1);
    });

    test("a key that does not match names the stored certificate that it is of", async () => {
      const [mine, yours] = await Promise.all([issue("CN=mine"), issue("CN=yours")]);
      const id = await upload(mine, "key of mine");
      await upload(yours, "key of yours");
      const next = await issue("CN=mine");
      const answer = await rotate(id, next, { private_key: yours.key });
      assert.match(
        answer.errors[0]?.message ?? "",
        /it belongs to the stored certificate "key of yours"/,
      );
    });

    test("versions are listed, one is activated, and a roll back goes to the one before", async () => {
      const leaves = await Promise.all(["a", "b", "c"].map((name) => issue(`CN=${name}`)));
      const [a, b, c] = leaves as [TestCertificate, TestCertificate, TestCertificate];
      const id = await upload(a, "versions");
      await rotate(id, b);
      await rotate(id, c, { activate: false });
      const listed = await control.call("GET", `${base}/${id}/versions`);
      assert.deepEqual(
        listed.result.map((version: Record<string, unknown>) => [
          version["version"],
          version["active"],
        ]),
        [
          [3, false],
          [2, true],
          [1, false],
        ],
      );
      const activated = await control.call("POST", `${base}/${id}/versions/3/activate`, {});
      assert.equal(activated.result.version, 3);
      assert.equal((await presented(id)).key, c.key);
      assert.equal((await control.call("POST", `${base}/${id}/rollback`)).result.version, 2);
      assert.equal((await control.call("POST", `${base}/${id}/rollback`)).result.version, 1);
      const nothing = await control.call("POST", `${base}/${id}/rollback`);
      assert.equal(codeOf(nothing), "certificate_rollback_impossible");
      const missing = await control.call("POST", `${base}/${id}/versions/9/activate`, {});
      assert.deepEqual([missing.status, codeOf(missing)], [404, "certificate_version_not_found"]);
      assert.equal((await presented(id)).version, 1);
    });

    test("a version that was revoked is never presented again, a new one is", async () => {
      const leaves = await Promise.all(["r1", "r2", "r3"].map((name) => issue(`CN=${name}`)));
      const [one, two, three] = leaves as [TestCertificate, TestCertificate, TestCertificate];
      const id = await upload(one, "revoked");
      await rotate(id, two);
      const answer = await control.call("POST", `${base}/${id}/revoke`, { version: 1 });
      assert.deepEqual(answer.result, { id, revoked: [1], presented: 2 });
      const source = storeSource(control.store);
      const edge = await source.certificate(control.accountId, id);
      assert.deepEqual([edge?.revokedOn, edge?.revokedVersions], [null, [1]]);
      const again = await control.call("POST", `${base}/${id}/versions/1/activate`, {});
      assert.equal(codeOf(again), "certificate_version_revoked");
      assert.equal(
        codeOf(await control.call("POST", `${base}/${id}/rollback`)),
        "certificate_rollback_impossible",
      );
      const all = await control.call("POST", `${base}/${id}/revoke`, {});
      assert.deepEqual(all.result, { id, revoked: [1, 2], presented: null });
      assert.equal((await presented(id)).revoked, true);
      assert.equal((await rotate(id, three)).result.version, 3);
      assert.deepEqual(await presented(id), { version: 3, key: three.key, revoked: false });
      assert.equal(codeOf(await rotate(id, two)), "certificate_duplicate");
    });

    test("a roll back goes to what was in force before, never to what was abandoned", async () => {
      const id = await upload(await issue("CN=first"), "history");
      const rollBack = async (): Promise<unknown> => {
        const answer = await control.call("POST", `${base}/${id}/rollback`);
        return answer.result?.version ?? codeOf(answer);
      };
      const activate = (version: number): Promise<unknown> =>
        control.call("POST", `${base}/${id}/versions/${version}/activate`, {});
      await rotate(id, await issue("CN=second"));
      assert.equal(await rollBack(), 1);
      // Version 2 was abandoned; version 3 is stored and was never active.
      await rotate(id, await issue("CN=third"), { activate: false });
      await rotate(id, await issue("CN=fourth"));
      assert.equal(await rollBack(), 1);
      assert.equal(await rollBack(), "certificate_rollback_impossible");
      // A version with a higher number counts as the earlier one if it was active before.
      await activate(4);
      await activate(2);
      assert.equal(await rollBack(), 4);
      assert.equal(await rollBack(), 1);
      assert.equal((await presented(id)).version, 1);
    });

    test("an expired version is not activated by accident, nor rolled back to", async () => {
      const [short, long] = await Promise.all([issue("CN=short", 2), issue("CN=long")]);
      const id = await upload(short, "expiring");
      await rotate(id, long);
      now = new Date(Date.now() + 3 * DAY);
      try {
        const path = `${base}/${id}/versions/1/activate`;
        const refused = await control.call("POST", path, {});
        assert.equal(codeOf(refused), "upload_expired");
        assert.match(refused.errors[0]?.message ?? "", /expired 1 day ago|expired 23 hours ago/);
        assert.equal(
          codeOf(await control.call("POST", `${base}/${id}/rollback`)),
          "certificate_rollback_impossible",
        );
        assert.equal((await control.call("POST", path, { allow_expired: true })).status, 200);
      } finally {
        now = new Date();
      }
    });

    test("the newest 20 versions are kept, and the active one whatever its age", async () => {
      const id = await upload(await issue("CN=kept"), "kept");
      for (let count = 0; count < 24; count++) {
        const answer = await rotate(id, await issue(`CN=kept ${count}`), { activate: false });
        assert.equal(answer.status, 200);
      }
      const listed = await control.call("GET", `${base}/${id}/versions`);
      const numbers = listed.result.map(({ version }: { version: number }) => version);
      assert.deepEqual(numbers, [...Array.from({ length: 20 }, (_, index) => 25 - index), 1]);
      assert.equal((await presented(id)).version, 1);
    });

    test("settings: a name, and the hosts it may be presented to", async () => {
      const id = await upload(await issue("CN=settings"), "before");
      const hosts = ["API.example.com", "*.example.net", "[2001:db8::1]"];
      const answer = await control.call("PATCH", `${base}/${id}`, {
        name: "after",
        allowed_hosts: hosts,
      });
      assert.deepEqual(answer.result.allowed_hosts, [
        "api.example.com",
        "*.example.net",
        "2001:db8::1",
      ]);
      assert.equal(answer.result.name, "after");
      const edge = await storeSource(control.store).certificate(control.accountId, id);
      assert.deepEqual(edge?.allowedHosts, answer.result.allowed_hosts);
      for (const bad of [
        "https://api.example.com",
        "api.example.com:443",
        "a..b",
        "*",
        "api.*.com",
      ]) {
        const refused = await control.call("PATCH", `${base}/${id}`, { allowed_hosts: [bad] });
        assert.equal(codeOf(refused), "request_invalid", bad);
      }
      const cleared = await control.call("PATCH", `${base}/${id}`, { allowed_hosts: null });
      assert.deepEqual([cleared.result.allowed_hosts, cleared.result.name], [null, "after"]);
      await upload(await issue("CN=taken"), "taken");
      const taken = await control.call("PATCH", `${base}/${id}`, { name: "taken" });
      assert.equal(codeOf(taken), "certificate_name_taken");
    });

    test("every listing says when a certificate ends, in words", async () => {
      const id = await upload(await issue("CN=soon", 2.5), "soon");
      const one = await control.call("GET", `${base}/${id}`);
      assert.deepEqual(
        [one.result.expires, one.result.days_left, one.result.threshold],
        ["expires in 2 days", 2, 3],
      );
      const cloudflare = await control.call(
        "GET",
        "/accounts/{account}/mtls_certificates?name=soon",
      );
      assert.equal(cloudflare.result[0].countersign.expires, "expires in 2 days");
      const all = await control.call("GET", `${base}?name=soon`);
      assert.equal(all.result[0].threshold, 3);
    });

    test("two rotations at once make two versions", async () => {
      const id = await upload(await issue("CN=race"), "race");
      const leaves = await Promise.all([1, 2, 3, 4].map((n) => issue(`CN=race ${n}`)));
      const answers = await Promise.all(leaves.map((leaf) => rotate(id, leaf)));
      assert.deepEqual(
        answers.map(({ result }) => result.version).toSorted((a, b) => a - b),
        [2, 3, 4, 5],
      );
      assert.equal((await presented(id)).version, 5);
    });
  });
}

function codeOf(answer: Envelope): unknown {
  return answer.errors[0]?.meta?.["failure"];
}
