import assert from "node:assert/strict";
import Cloudflare, { NotFoundError } from "cloudflare";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { presentedKeyPlace } from "../src/keys/places.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { setAccountLimits } from "../src/store/access/accounts.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { engines, testKeyring } from "./helpers/database.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

for (const [engine, open] of Object.entries(engines)) {
  describe(`certificates, through the cloudflare SDK and plain requests on ${engine}`, () => {
    let control: TestControl;
    let authority: TestAuthority;
    let cloudflare: Cloudflare;
    let account: { account_id: string };
    before(async () => {
      control = await startControl({ open, limits: { certificates: 3, authorities: 2 } });
      authority = await makeAuthority("SDK CA");
      cloudflare = new Cloudflare({
        apiToken: control.token,
        baseURL: control.api,
        maxRetries: 0,
      });
      account = { account_id: control.accountId };
    });
    after(() => control[Symbol.asyncDispose]());

    it("the SDK creates, gets, lists, and deletes", async () => {
      const leaf = await authority.issue({ subject: "CN=sdk,O=Acme" });
      const created = await cloudflare.mtlsCertificates.create({
        ...account,
        name: "sdk",
        ca: false,
        certificates: leaf.chain,
        private_key: leaf.key,
      });
      assert.equal(created.ca, false);
      assert.equal(created.issuer, "CN=SDK CA");
      assert.equal(created.expires_on, leaf.x509.notAfter.toISOString());
      assert.equal(created.certificates?.includes("PRIVATE"), false);
      const id = created.id ?? "";

      assert.equal((await cloudflare.mtlsCertificates.get(id, account)).name, "sdk");
      const listed = await Array.fromAsync(cloudflare.mtlsCertificates.list(account));
      assert.deepEqual(
        listed.map((certificate) => certificate.id),
        [id],
      );
      const associations = await Array.fromAsync(
        cloudflare.mtlsCertificates.associations.get(id, account),
      );
      assert.deepEqual(associations, []);

      const source = storeSource(control.store);
      const forEdge = await source.certificate(control.accountId, id);
      assert.ok(forEdge);
      const key = control.keyring.unseal(presentedKeyPlace(forEdge), forEdge.sealedKey);
      assert.equal(key, leaf.key);

      await cloudflare.mtlsCertificates.delete(id, account);
      await assert.rejects(cloudflare.mtlsCertificates.get(id, account), NotFoundError);
      assert.equal(await source.certificate(control.accountId, id), null);
    });

    it("the same certificate twice, and the same name twice, are refused", async () => {
      const [one, two] = await Promise.all([
        authority.issue({ subject: "CN=one" }),
        authority.issue({ subject: "CN=two" }),
      ]);
      const upload = (leaf: typeof one, name: string): ReturnType<TestControl["call"]> =>
        control.call("POST", "/accounts/{account}/mtls_certificates", {
          name,
          certificates: leaf.pem,
          private_key: leaf.key,
          ca: false,
        });
      const first = await upload(one, "one");
      assert.equal(first.status, 200, JSON.stringify(first.errors));
      const content = await upload(one, "another name");
      assert.deepEqual([content.status, content.errors[0]?.code], [409, 1471]);
      assert.match(content.errors[0]?.message ?? "", new RegExp(first.result.id));
      const name = await upload(two, "one");
      assert.equal(name.errors[0]?.meta?.["failure"], "certificate_name_taken");
      await control.call("DELETE", `/accounts/{account}/mtls_certificates/${first.result.id}`);
      assert.equal((await upload(two, "one")).status, 200);
      assert.equal((await upload(one, "one again")).status, 200);
    });

    it("of uploads at the same time, one has a content or a name, and the others are not hurt", async () => {
      await using full = await startControl({ open, limits: { certificates: 8 } });
      const upload = async (name: string, leaf?: TestLeaf): Promise<string> => {
        const { pem, key } = leaf ?? (await authority.issue({ subject: `CN=${name}` }));
        const body = { name, certificates: pem, private_key: key, ca: false };
        const answer = await full.call("POST", "/accounts/{account}/mtls_certificates", body);
        return (answer.errors[0]?.meta?.["failure"] as string | undefined) ?? "stored";
      };
      const same = await authority.issue({ subject: "CN=same" });
      const [contents, names, others] = await Promise.all([
        Promise.all(["s1", "s2", "s3"].map((name) => upload(name, same))),
        Promise.all(["name", "name", "name"].map((name) => upload(name))),
        Promise.all(["a", "b", "c", "d", "e"].map((name) => upload(name))),
      ]);
      assert.equal(sorted(contents), "certificate_duplicate certificate_duplicate stored");
      assert.equal(sorted(names), "certificate_name_taken certificate_name_taken stored");
      assert.equal(sorted(others), "stored stored stored stored stored");
      const last = await Promise.all(["x", "y", "z"].map((name) => upload(name)));
      assert.equal(sorted(last), "certificate_quota certificate_quota stored");
      const { result } = await full.call("GET", "/accounts/{account}/mtls_certificates");
      assert.equal(result.length, 8);
      for (const { id } of result as { id: string }[]) {
        const stored = (await storeSource(full.store).certificate(full.accountId, id))!;
        const key = full.keyring.unseal(presentedKeyPlace(stored), stored.sealedKey);
        assert.ok(new X509Certificate(stored.chain).checkPrivateKey(createPrivateKey(key)));
      }
      assert.equal((await checkAudit(full.store.db, testKeyring)).broken, null);
    });

    it("leaf certificates and CAs have limits of their own", async () => {
      const leaves = await Promise.all(
        ["a", "b", "c", "d"].map((name) => authority.issue({ subject: `CN=${name}` })),
      );
      const codes: (number | undefined)[] = [];
      for (const leaf of leaves) {
        const answer = await control.call("POST", "/accounts/{account}/mtls_certificates", {
          certificates: leaf.pem,
          private_key: leaf.key,
          ca: false,
        });
        codes.push(answer.errors[0]?.code);
      }
      assert.equal(codes.at(-1), 7000273);
      const refused: (number | undefined)[] = [];
      for (const { pem } of [authority, await makeAuthority(), await makeAuthority()]) {
        const answer = await control.call("POST", "/accounts/{account}/mtls_certificates", {
          certificates: pem,
          ca: true,
        });
        refused.push(answer.errors[0]?.code);
      }
      assert.deepEqual(refused, [undefined, undefined, 1489]);
      const { authorities } = await storeSource(control.store).trust(control.accountId);
      assert.equal(authorities.length, 2);
      // The account's own limit replaces the platform's.
      await control.store.housekeep(({ db }) =>
        setAccountLimits(db, control.accountId, { authorities: 3 }),
      );
      const third = await control.call("POST", "/accounts/{account}/mtls_certificates", {
        certificates: (await makeAuthority()).pem,
        ca: true,
      });
      assert.equal(third.status, 200, JSON.stringify(third.errors));
    });
  });
}

type TestLeaf = Awaited<ReturnType<TestAuthority["issue"]>>;

function sorted(all: readonly string[]): string {
  return all.toSorted((one, other) => (one < other ? -1 : 1)).join(" ");
}
