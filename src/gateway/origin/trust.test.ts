import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { before, test } from "node:test";
import { connect, createServer, type SecureContext, type TlsOptions } from "node:tls";
import {
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../../test/helpers/pki.ts";
import { presentedFacts, type Credential } from "../../certificates/credential.ts";
import type { AccountTrust } from "../../contract/change-feed.ts";
import { presentedKeyPlace } from "../../keys/places.ts";
import { Keyring } from "../../keys/seal.ts";
import { checkTrust, databaseTrust, noTrust, SecureContexts, trustFor } from "./trust.ts";

let one: TestAuthority;
let other: TestAuthority;
let server: TestCertificate;
let credential: Credential;
const keyring = new Keyring(Buffer.alloc(32, 1));

before(async () => {
  [one, other] = await Promise.all([makeAuthority("One"), makeAuthority("Other")]);
  server = await one.issue({ subject: "CN=localhost", dns: ["localhost"], algorithm: "RSA-2048" });
  const { chain, key } = await other.issue({ subject: "CN=client" });
  const place = { accountId: "a", sealedId: "s" };
  credential = {
    ...place,
    ...presentedFacts(new X509Certificate(chain)),
    certificateId: "c",
    version: 1,
    chain,
    sealedKey: keyring.seal(presentedKeyPlace(place), key),
    allowedHosts: null,
    trust: null,
  };
});

const trusts = (trust: Partial<AccountTrust>): AccountTrust => ({ ...noTrust, ...trust });
const spiffe = (authority: string): NonNullable<AccountTrust["spiffe"]> => ({
  "*.internal": [{ authority, ids: ["spiffe://one/**"] }],
});

test("a CA that does not parse is refused, wherever it counts", () => {
  checkTrust("a", noTrust);
  checkTrust(
    "a",
    trusts({ authorities: [one.pem], hosts: { h: [other.pem] }, spiffe: spiffe(one.pem) }),
  );
  const broken: readonly Partial<AccountTrust>[] = [
    { authorities: [one.pem, "no CA"] },
    { hosts: { h: ["no CA"] } },
    { spiffe: spiffe("no CA") },
  ];
  for (const trust of broken) {
    assert.throws(
      () => checkTrust("a", trusts(trust)),
      (error: { code: string; message: string; facts: unknown; cause: unknown }) => {
        assert.equal(error.code, "trust_unusable");
        assert.equal(error.message, "a CA that account a trusts does not parse");
        assert.deepEqual(error.facts, { accountId: "a" });
        return error.cause instanceof Error;
      },
    );
  }
});

test("an origin is verified by the public roots, the account's CAs and those of its host", () => {
  const account = trusts({
    authorities: ["A"],
    hosts: { "h.example": ["H"], "*.h.example": ["W"] },
  });
  for (const [host, authorities] of [
    ["other.example", ["A"]],
    ["h.example", ["A", "H"]],
    ["www.h.example", ["A", "W"]],
  ] as const) {
    for (const tied of [null, { trust: null }]) {
      const { id: name, ...found } = trustFor(tied, account, host);
      assert.deepEqual(found, { publicRoots: true, authorities });
      assert.match(name, /^[\w-]{22}$/);
    }
  }
});

test("a certificate's own CAs count alone, be they none", () => {
  const account = trusts({ authorities: ["A"], spiffe: spiffe("S") });
  for (const trust of [["C"], []]) {
    const found = trustFor({ trust }, account, "a.internal");
    assert.deepEqual(
      [found.publicRoots, found.authorities, found.spiffe],
      [false, trust, undefined],
    );
  }
});

test("a host of a trust domain is known by its SPIFFE IDs, of the domain's CAs alone", () => {
  const account = trusts({
    authorities: ["A"],
    hosts: { "a.internal": ["H"] },
    spiffe: spiffe("S"),
  });
  const found = trustFor(null, account, "a.internal");
  assert.deepEqual([found.publicRoots, found.authorities], [false, ["S"]]);
  assert.deepEqual(found.spiffe, [{ authority: "S", ids: ["spiffe://one/**"] }]);
  assert.equal(trustFor(null, account, "a.example").spiffe, undefined);
});

function id(trust: Partial<AccountTrust>, of: readonly string[] | null = null): string {
  return trustFor({ trust: of }, trusts(trust), "a.internal").id;
}

test("bundles have the same id if what they trust is the same, in whichever order", () => {
  assert.equal(id({ authorities: ["A", "B"] }), id({ authorities: ["B", "A", "B"] }));
  const ids = [
    id({}),
    id({ authorities: ["A"] }),
    id({ authorities: ["A", "B"] }),
    id({ authorities: ["AB"] }),
    id({}, []),
    id({}, ["A"]),
    id({ spiffe: spiffe("A") }),
    id({ spiffe: { "*.internal": [{ authority: "A", ids: ["spiffe://other/**"] }] } }),
  ];
  assert.equal(new Set(ids).size, ids.length);
});

test("a database's own CAs count alone, and of those what its certificate is tied to", () => {
  const account = trusts({ authorities: ["A"] });
  const host = "db.example";
  const of = (authorities: readonly string[] | null, trust: readonly string[] | null): unknown => {
    const found = databaseTrust({ host, authorities }, { trust }, account);
    return [found.publicRoots, found.authorities];
  };
  assert.deepEqual(of(null, null), [true, ["A"]]);
  assert.deepEqual(of(null, ["C"]), [false, ["C"]]);
  assert.deepEqual(of(["D", "E"], null), [false, ["D", "E"]]);
  assert.deepEqual(of(["D", "E"], ["E", "F"]), [false, ["E"]]);
  assert.deepEqual(of(["D"], []), [false, []]);
  const without = databaseTrust({ host, authorities: ["D"] }, null, account);
  assert.deepEqual(without.authorities, ["D"]);
});

test("a context is shared by what presents and trusts the same, and forgotten with its key", () => {
  const contexts = new SecureContexts(keyring, ["old.example"]);
  const trust = trustFor(null, noTrust, "a.example");
  const get = (of: Credential | null, host = "a.example", by = trust): SecureContext =>
    contexts.get(of, by, host);
  const first = get(credential);
  assert.equal(get({ ...credential }, "b.example"), first);
  const all = [
    first,
    get(null),
    get({ ...credential, certificateId: "d" }),
    get({ ...credential, version: 2 }),
    get({ ...credential, version: 12 }),
    get({ ...credential, certificateId: "c1", version: 2 }),
    get({ ...credential, fingerprint: "f" }),
    get(credential, "old.example"),
    get(credential, "a.example", trustFor({ trust: [one.pem] }, noTrust, "a.example")),
  ];
  assert.equal(new Set(all).size, all.length);
  contexts.retain([{ credential, trust }]);
  assert.equal(get(credential), first);
  assert.equal(get(credential, "old.example"), all.at(-2));
  assert.notEqual(get(null), all[1]);
  contexts.retain([{ credential: null, trust }]);
  assert.notEqual(get(credential), first);
  assert.notEqual(get(credential, "old.example"), all.at(-2));
});

test("a context trusts its CAs, with the public roots or without, and presents its certificate", async () => {
  const contexts = new SecureContexts(keyring, []);
  const seen = async (
    trust: readonly string[] | null,
    account: AccountTrust = noTrust,
  ): Promise<string> => {
    const bundle = trustFor({ trust }, account, "localhost");
    return met(contexts.get(credential, bundle, "localhost"));
  };
  assert.equal(await seen([one.pem]), "CN=client");
  assert.equal(await seen(null, trusts({ authorities: [other.pem, one.pem] })), "CN=client");
  for (const refused of [await seen([other.pem]), await seen([]), await seen(null)]) {
    assert.match(refused, /^UNABLE_TO_/);
  }
  const bundle = trustFor({ trust: [one.pem] }, noTrust, "localhost");
  assert.equal(await met(contexts.get(null, bundle, "localhost")), "nobody");
});

test("an intermediate CA, or a server's own certificate, is an anchor", async () => {
  const contexts = new SecureContexts(keyring, []);
  for (const trust of [[server.pem], null]) {
    const account = trusts({ authorities: [server.pem] });
    const bundle = trustFor({ trust }, account, "localhost");
    assert.equal(await met(contexts.get(credential, bundle, "localhost")), "CN=client");
  }
});

test("an old cipher suite is chosen with old hosts alone, an old version with none", async () => {
  const contexts = new SecureContexts(keyring, ["old.example"]);
  const bundle = trustFor({ trust: [one.pem] }, noTrust, "localhost");
  const context = (host: string): SecureContext => contexts.get(credential, bundle, host);
  const cbc = { ciphers: "AES128-SHA:@SECLEVEL=0", maxVersion: "TLSv1.2" } as const;
  assert.match(await met(context("a.example"), cbc), /ALERT|ECONNRESET/);
  assert.equal(await met(context("old.example"), cbc), "CN=client");
  for (const ciphers of [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ]) {
    assert.equal(await met(context("a.example"), { ...cbc, ciphers }), "CN=client", ciphers);
  }
  for (const ciphers of [
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
  ]) {
    const version = { ciphers, minVersion: "TLSv1.3" } as const;
    assert.equal(await met(context("a.example"), version), "CN=client", ciphers);
  }
  const old = {
    ciphers: "DEFAULT:@SECLEVEL=0",
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
  } as const;
  assert.match(await met(context("old.example"), old), /ALERT|PROTOCOL|ECONNRESET/);
});

/** Whom a server of `one`'s meets: the client's subject, or why it was none. */
async function met(context: SecureContext, options: TlsOptions = {}): Promise<string> {
  const { chain: cert, key } = server;
  const listener = createServer({
    cert,
    key,
    requestCert: true,
    rejectUnauthorized: false,
    ...options,
  });
  const seen = new Promise<string>((resolve) => {
    listener.on("secureConnection", (socket) => {
      resolve(socket.getPeerX509Certificate()?.subject ?? "nobody");
      socket.on("error", () => {}).end();
    });
    listener.on("tlsClientError", () => {});
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as AddressInfo;
  const client = connect({
    port,
    host: "127.0.0.1",
    servername: "localhost",
    secureContext: context,
  });
  try {
    await once(client, "secureConnect");
    return await seen;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    client.destroy();
    listener.close();
  }
}
