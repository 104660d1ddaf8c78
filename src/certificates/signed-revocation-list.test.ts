import assert from "node:assert/strict";
import { before, test } from "node:test";
import * as fc from "fast-check";
import { makeAuthority, type TestAuthority, type TestCertificate } from "../../test/helpers/pki.ts";
import { mutate, type Mutation } from "../../test/helpers/mutate.ts";
import { openOpenssl } from "../../test/helpers/openssl.ts";
import { Failure } from "../failures/failures.ts";
import { LONGEST_LIST, MOST_REVOKED, readSignedList } from "./signed-revocation-list.ts";
import * as x509 from "./x509.ts";

const DAY = 86_400_000;
let authority: TestAuthority;
let leaf: TestCertificate;
let list: string;

before(async () => {
  authority = await makeAuthority("Partners");
  leaf = await authority.issue({ subject: "CN=robot" });
  list = await authority.revoke([leaf]);
});

function read(bytes: string | Uint8Array, authorities = [authority.pem], now = new Date()) {
  return readSignedList(Buffer.from(bytes as Uint8Array), { authorities, now });
}

function refused(code: RegExp) {
  return (error: unknown): boolean =>
    error instanceof Failure &&
    error.code === "revocation_list_invalid" &&
    code.test(error.message);
}

test("a list tells the numbers that its CA has revoked, in PEM as in DER", async () => {
  const der = new x509.X509Crl(list).rawData;
  for (const bytes of [list, new Uint8Array(der)]) {
    const { serials, issuer, nextUpdate } = await read(bytes);
    assert.deepEqual(serials, [serialOf(leaf)]);
    assert.equal(issuer, "CN=Partners");
    assert.ok(nextUpdate.getTime() > Date.now());
  }
});

function serialOf(certificate: TestCertificate): string {
  const digits = certificate.x509.serialNumber.toUpperCase().replace(/^0+(?=.)/, "");
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

for (const kind of ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"]) {
  test(`a list that OpenSSL makes is read: ${kind.slice(0, 12)}`, async () => {
    await using openssl = await openOpenssl();
    await openssl.write(
      "ca.cnf",
      "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=default\ndefault_crl_days=7\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n",
    );
    const date = "301231235959Z";
    await openssl.write(
      "index.txt",
      `R\t${date}\t250101000000Z,keyCompromise\t00FFAB01\tunknown\t/CN=a\nR\t${date}\t250101000000Z\t07\tunknown\t/CN=b\nV\t${date}\t\t09\tunknown\t/CN=c\n`,
    );
    await openssl.write("number", "1000\n");
    const request = `req -x509 -newkey ${kind} -nodes -keyout ca.key -out ca.pem -subj /O=Acme/CN=Own -days 9`;
    await openssl.run(request.split(" "));
    const gen = "ca -config ca.cnf -gencrl -cert ca.pem -keyfile ca.key -out list.pem";
    await openssl.run(gen.split(" "));
    // `req -x509` names no usages, so that it may sign lists.
    const { serials } = await read(await openssl.read("list.pem"), [await openssl.read("ca.pem")]);
    assert.deepEqual([...serials].toSorted(), ["07", "FFAB01"]);
  });
}

test("a list of another CA is refused, of the same name too", async () => {
  const other = await makeAuthority("Others");
  await assert.rejects(read(list, [other.pem]), refused(/none of the account's CAs is its issuer/));
  const namesake = await makeAuthority("Partners");
  await assert.rejects(read(list, [namesake.pem]), refused(/signature is not of CN=Partners/));
  assert.ok(await read(list, [namesake.pem, authority.pem]));
});

test("a list from the future and a list that is too long are refused", async () => {
  const thisUpdate = new Date(Date.now() + DAY);
  const early = await authority.revoke([leaf], { thisUpdate });
  await assert.rejects(read(early), refused(/still to come/));
  assert.ok(await read(early, [authority.pem], thisUpdate));
  await assert.rejects(read(Buffer.alloc(LONGEST_LIST + 1, 48)), refused(/longer than/));
});

test("the numbers of a list are those that the library reads, with reasons and without", async () => {
  const numbers = ["01", "7f", "0080", "00ff01", "12".repeat(20)];
  const made = await make([], {
    entries: numbers.map((serialNumber, i) => ({
      serialNumber,
      revocationDate: new Date(),
      ...(i % 2 === 1 && { reason: x509.X509CrlReason.keyCompromise }),
    })),
  });
  const { serials } = await read(new Uint8Array(made.rawData));
  assert.deepEqual(serials, ["01", "7F", "80", "FF01", "12".repeat(20)]);
  const byLibrary = made.entries.map((one) => one.serialNumber.toUpperCase());
  assert.deepEqual(
    byLibrary.map((one) => one.replace(/^(?:00)+(?=..)/, "")),
    serials,
  );
});

test("a list has 5,000 entries at most, and little besides them", async () => {
  const entries = Array.from({ length: MOST_REVOKED + 1 }, (_, i) => ({
    serialNumber: (0x100000 + i).toString(16),
    revocationDate: new Date(),
  }));
  const more = await make([], { entries });
  await assert.rejects(read(new Uint8Array(more.rawData)), refused(/more than 5000 entries/));
  const named = await make([], { issuer: "CN=a, ".repeat(1_000).slice(0, -2) });
  await assert.rejects(read(new Uint8Array(named.rawData)), refused(/no revocation list/));
  const long = await make([], { issuer: `CN=${"a".repeat(70_000)}` });
  await assert.rejects(read(new Uint8Array(long.rawData)), refused(/besides its entries/));
});

test("control characters in the name of a list's CA are not told", async () => {
  const made = await make([], { issuer: "CN=a\u001b[31m" });
  await assert.rejects(read(new Uint8Array(made.rawData)), refused(/issuer, CN=a[^\p{Cc}]+$/u));
});

function make(
  extensions: x509.Extension[],
  wanted: Partial<Pick<x509.X509CrlCreateParams, "issuer" | "entries">> = {},
): Promise<x509.X509Crl> {
  return x509.X509CrlGenerator.create({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(),
    nextUpdate: new Date(Date.now() + DAY),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    signingKey: authority.keys.privateKey,
    extensions,
    ...wanted,
  });
}

for (const [what, oid, value, why] of [
  ["a delta list", "2.5.29.27", "020101", /delta/],
  ["an indirect list", "2.5.29.28", "30038401ff", /indirect/],
  ["a list with an extension that must be understood", "1.2.3.4", "0500", /critical/],
] as const) {
  test(`${what} is refused`, async () => {
    const bad = await make([new x509.Extension(oid, true, Buffer.from(value, "hex"))]);
    await assert.rejects(read(new Uint8Array(bad.rawData)), refused(why));
    assert.ok(await read(new Uint8Array((await make([])).rawData)));
  });
}

test("whatever the bytes are, a list is read as it was signed or refused by its code", async () => {
  const der = new Uint8Array(new x509.X509Crl(list).rawData);
  const kinds = ["flip", "set", "insert", "remove", "copy", "truncate"] as const;
  const mutation = fc.record<Mutation>({
    kind: fc.constantFrom(...kinds),
    at: fc.nat(),
    value: fc.nat(255),
  });
  const bytes = fc.oneof(
    fc.array(mutation, { minLength: 1, maxLength: 4 }).map((some) => mutate(der, some)),
    fc.uint8Array({ maxLength: 300 }).map((some) => Buffer.from(some)),
    fc
      .string()
      .map((text) => Buffer.from(`-----BEGIN X509 CRL-----\n${text}\n-----END X509 CRL-----`)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (some) => {
      try {
        assert.deepEqual((await read(some)).serials, [serialOf(leaf)]);
      } catch (error) {
        assert.ok(refused(/./)(error), String(error));
      }
    }),
    { numRuns: 600 },
  );
});
