import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { AccountTrust } from "../src/contract/change-feed.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { engines } from "./helpers/database.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

const authorities = "/accounts/{account}/countersign/authorities";

async function failureOf(
  control: TestControl,
  method: string,
  path: string,
  body: object,
): Promise<unknown> {
  return (await control.call(method, path, body)).errors[0]?.meta?.["failure"];
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`trust for origins, on ${engine}`, () => {
    let control: TestControl;
    let one: TestAuthority;
    let two: TestAuthority;
    let oneId: string;
    let twoId: string;
    let certificateId: string;
    before(async () => {
      control = await startControl({ open });
      [one, two] = await Promise.all([makeAuthority("One"), makeAuthority("Two")]);
      oneId = await upload({ certificates: one.pem, ca: true, name: "one" });
      twoId = await upload({ certificates: two.pem, ca: true, name: "two" });
      const leaf = await one.issue({ subject: "CN=client" });
      certificateId = await upload({ certificates: leaf.chain, private_key: leaf.key, ca: false });
    });
    after(() => control[Symbol.asyncDispose]());

    const upload = async (body: object): Promise<string> => {
      const { result, errors } = await control.call(
        "POST",
        "/accounts/{account}/mtls_certificates",
        body,
      );
      assert.deepEqual(errors, []);
      return result.id;
    };
    const account = (): Promise<AccountTrust> =>
      storeSource(control.store).trust(control.accountId);
    const pinned = async (): Promise<readonly string[] | null | undefined> =>
      (await storeSource(control.store).certificate(control.accountId, certificateId))?.trust;
    const changesSince = async (cursor: number): Promise<string[]> => {
      const rows = await control.store.db
        .selectFrom("changes")
        .selectAll()
        .where("cursor", ">", cursor)
        .execute();
      return rows.map(({ kind, key }) => `${kind} ${key}`).toSorted();
    };
    const newest = async (): Promise<number> => {
      const rows = await control.store.db.selectFrom("changes").select("cursor").execute();
      return Math.max(...rows.map(({ cursor }) => cursor));
    };

    test("a CA counts for the whole account unless it is tied", async () => {
      assert.deepEqual((await account()).authorities, [one.pem, two.pem]);
      assert.equal(await pinned(), null);
      const { result } = await control.call("GET", authorities);
      assert.deepEqual(result[0].trust, { account: true, certificates: [], hosts: [] });
    });

    test("a CA that is tied to a certificate verifies its origins, and no other CA does", async () => {
      const cursor = await newest();
      const scope = { account: false, certificates: [certificateId] };
      const answer = await control.call("PUT", `${authorities}/${twoId}/trust`, scope);
      assert.deepEqual(answer.result.trust, {
        account: false,
        certificates: [certificateId],
        hosts: [],
      });
      assert.deepEqual((await account()).authorities, [one.pem]);
      assert.deepEqual(await pinned(), [two.pem]);
      assert.deepEqual(await changesSince(cursor), [`certificate ${certificateId}`, "trust "]);
      const shown = await control.call(
        "GET",
        `/accounts/{account}/countersign/certificates/${certificateId}`,
      );
      assert.deepEqual(shown.result.authorities, [twoId]);
    });

    test("a new version of a tied CA is in force for the certificate too", async () => {
      const cursor = await newest();
      const renewed = await makeAuthority("Two");
      const path = `/accounts/{account}/countersign/certificates/${twoId}/versions`;
      const bundle = two.pem + renewed.pem;
      assert.equal((await control.call("POST", path, { certificates: bundle })).result.version, 2);
      assert.deepEqual(await pinned(), [bundle]);
      assert.deepEqual(await changesSince(cursor), [`certificate ${certificateId}`, "trust "]);
      await control.call("POST", `/accounts/{account}/countersign/certificates/${twoId}/rollback`);
      assert.deepEqual(await pinned(), [two.pem]);
    });

    test("a CA that a certificate relies on alone is not deleted", async () => {
      const refused = await control.call(
        "DELETE",
        `/accounts/{account}/mtls_certificates/${twoId}`,
      );
      assert.equal(refused.errors[0]?.meta?.["failure"], "authority_in_use");
      assert.deepEqual(await pinned(), [two.pem]);
    });

    test("a CA that is tied to hosts counts there, beside the account's CAs", async () => {
      const scope = { account: false, hosts: ["API.internal", "*.corp.example", "constructor"] };
      await control.call("PUT", `${authorities}/${twoId}/trust`, scope);
      assert.equal(await pinned(), null);
      const trust = await account();
      assert.deepEqual(trust.authorities, [one.pem]);
      const pems = [two.pem];
      assert.deepEqual(trust.hosts, {
        "*.corp.example": pems,
        "api.internal": pems,
        constructor: pems,
      });
    });

    test("one whose hosts are known by SPIFFE IDs counts there alone, and by these IDs", async () => {
      const ids = ["spiffe://mesh.test/ns/*/sa/orders"];
      const scope = { account: false, hosts: ["*.mesh.internal"], spiffe_ids: ids };
      const answer = await control.call("PUT", `${authorities}/${twoId}/trust`, scope);
      assert.deepEqual(answer.result.trust.spiffe_ids, ids);
      const trust = await account();
      assert.deepEqual(trust.hosts, {});
      assert.deepEqual(trust.spiffe, { "*.mesh.internal": [{ authority: two.pem, ids }] });
      for (const [hosts, wrong] of [
        [[], ids],
        [["x.test"], ["https://mesh.test/"]],
        [["x.test"], ["spiffe://*/a"]],
      ]) {
        const bad = { account: false, hosts, spiffe_ids: wrong };
        const refused = await failureOf(control, "PUT", `${authorities}/${twoId}/trust`, bad);
        assert.equal(refused, "request_invalid");
      }
    });

    test("a CA that is tied to nothing counts nowhere, and can come back to the account", async () => {
      await control.call("PUT", `${authorities}/${twoId}/trust`, { account: false });
      assert.deepEqual(await account(), { authorities: [one.pem], hosts: {}, proxied: [] });
      await control.call("PUT", `${authorities}/${twoId}/trust`, { account: true });
      assert.deepEqual((await account()).authorities, [one.pem, two.pem]);
    });

    test("a certificate that is deleted leaves its CA tied, not trusted by all", async () => {
      const leaf = await one.issue({ subject: "CN=gone" });
      const id = await upload({ certificates: leaf.chain, private_key: leaf.key, ca: false });
      await control.call("PUT", `${authorities}/${twoId}/trust`, {
        account: false,
        certificates: [id],
      });
      await control.call("DELETE", `/accounts/{account}/mtls_certificates/${id}`);
      assert.deepEqual((await account()).authorities, [one.pem]);
      await control.call("PUT", `${authorities}/${twoId}/trust`, { account: true });
    });

    test("a leaf is not trusted, a CA is neither bound to a CA nor revoked", async () => {
      const all = { account: true };
      const kind = "certificate_kind_differs";
      assert.equal(
        await failureOf(control, "PUT", `${authorities}/${certificateId}/trust`, all),
        kind,
      );
      const tie = { account: false, certificates: [oneId] };
      assert.equal(await failureOf(control, "PUT", `${authorities}/${twoId}/trust`, tie), kind);
      const unknown = { account: false, certificates: ["no-such"] };
      assert.equal(
        await failureOf(control, "PUT", `${authorities}/${twoId}/trust`, unknown),
        "certificate_not_found",
      );
      assert.deepEqual((await account()).authorities, [one.pem, two.pem]);
      const revoke = `/accounts/{account}/countersign/certificates/${oneId}/revoke`;
      assert.equal(await failureOf(control, "POST", revoke, {}), kind);
    });
  });
}
