import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { makeAuthority, type TestAuthority, type TestCertificate } from "../../test/helpers/pki.ts";
import { refusal } from "../../test/helpers/refusal.ts";
import { mismatchNaming } from "./match.ts";
import { parseUpload } from "./parse.ts";
import type { CertificateUpload, ParsedLeaf, ParsedUpload } from "./certificate-upload.ts";

const now = new Date();
const DAY = 86_400_000;

function upload(fields: Partial<CertificateUpload>): ParsedUpload {
  return parseUpload({ certificates: "", ca: false, now, ...fields });
}

function leafOf(fields: Partial<CertificateUpload>): ParsedLeaf {
  const parsed = upload(fields);
  assert(parsed.kind === "leaf");
  return parsed;
}

function codes(parsed: ParsedUpload): readonly string[] {
  return parsed.warnings.map(({ code }) => code);
}

let root: TestAuthority;
let issuing: TestAuthority;
let client: TestCertificate;
let stranger: TestCertificate;

before(async () => {
  root = await makeAuthority("Root CA");
  issuing = await root.intermediate("Issuing CA");
  client = await issuing.issue({ subject: "CN=client" });
  stranger = await root.issue({ subject: "CN=stranger" });
});

describe("files", () => {
  it("a certificate with its chain and its key is accepted without a warning", () => {
    const parsed = leafOf({
      certificates: client.chain,
      privateKey: client.key,
      authorities: [root.pem],
    });
    assert.equal(parsed.chain, client.chain);
    assert.equal(parsed.privateKey, client.key);
    assert.deepEqual(parsed.warnings, []);
  });

  it("a combined file is accepted in any order", () => {
    const parts = [client.key, client.pem, issuing.pem, root.pem];
    for (const certificates of orders(parts)) {
      assert.equal(leafOf({ certificates: certificates.join("") }).chain, parts.slice(1).join(""));
    }
  });

  it("the same combined file as both files is accepted", () => {
    const both = client.chain + client.key;
    assert.equal(leafOf({ certificates: both, privateKey: both }).chain, client.chain);
  });

  it("swapped files are refused", () => {
    refusal("files_swapped", () => upload({ certificates: client.key, privateKey: client.chain }));
  });

  it("a key in place of the certificate is refused", () => {
    refusal(
      "certificate_missing",
      () => upload({ certificates: client.key }),
      /`certificates`\) holds a private key but no certificate/,
    );
  });

  it("a certificate in place of the key is refused", () => {
    refusal(
      "private_key_missing",
      () => upload({ certificates: client.chain, privateKey: client.pem }),
      /`private_key`\) holds a certificate but no private key/,
    );
  });

  it("no key at all is refused", () => {
    refusal("private_key_missing", () => upload({ certificates: client.chain }), /neither file/);
    refusal("private_key_missing", () => upload({ certificates: client.chain, privateKey: " \n" }));
  });

  it("two different keys are refused, the same key twice is accepted", () => {
    const twice = client.chain + client.key;
    leafOf({ certificates: twice, privateKey: client.key });
    refusal("private_key_ambiguous", () =>
      upload({ certificates: twice, privateKey: stranger.key }),
    );
  });

  it("more than 64 KiB in either file is refused", () => {
    leafOf({ certificates: fill(client.chain, 65_536), privateKey: client.key });
    const refused = refusal(
      "upload_too_large",
      () => upload({ certificates: fill(client.chain, 65_537), privateKey: client.key }),
      /`certificates`\) has 65537 bytes where 65536 are allowed/,
    );
    assert.equal(refused.facts["field"], "certificates");
    refusal(
      "upload_too_large",
      () => upload({ certificates: client.chain, privateKey: fill(client.key, 65_537) }),
      /`private_key`/,
    );
  });
});

describe("key", () => {
  it("a key of another certificate is refused, and its hash finds whose it is", () => {
    const stored = leafOf({ certificates: stranger.chain, privateKey: stranger.key });
    const refused = refusal(
      "private_key_mismatch",
      () => upload({ certificates: client.chain, privateKey: stranger.key }),
      /does not belong to certificate 1 \(CN=client\)$/,
    );
    assert.equal(refused.facts["publicKeyHash"], stored.facts.publicKeyHash);
    assert.match(
      mismatchNaming(refused, "billing").message,
      /; it belongs to the stored certificate "billing"$/,
    );
  });

  it("a key of an issuer in the chain is refused, naming that issuer", () => {
    refusal(
      "private_key_mismatch",
      () => upload({ certificates: client.chain, privateKey: issuing.keyPem }),
      /CN=client\): it belongs to certificate 2 \(CN=Issuing CA\) of the chain, a CA$/,
    );
  });
});

describe("chain", () => {
  it("is sorted, the leaf being what matches the key", () => {
    for (const certificates of orders([client.pem, issuing.pem, root.pem])) {
      const parsed = leafOf({ certificates: certificates.join(""), privateKey: client.key });
      assert.equal(parsed.chain, client.pem + issuing.pem + root.pem);
      assert.equal(parsed.facts.subject, "CN=client");
      assert.deepEqual(parsed.warnings, []);
    }
  });

  it("holds a certificate that was sent twice once", () => {
    const parsed = leafOf({ certificates: client.chain + client.chain, privateKey: client.key });
    assert.equal(parsed.chain, client.chain);
  });

  it("without its intermediate is stored with a warning, unless the account has the issuer", () => {
    const alone = { certificates: client.pem, privateKey: client.key };
    assert.deepEqual(codes(upload(alone)), ["chain_incomplete"]);
    assert.deepEqual(codes(upload({ ...alone, authorities: [root.pem] })), ["chain_incomplete"]);
    assert.deepEqual(codes(upload({ ...alone, authorities: [issuing.pem] })), []);
  });

  it("with an unrelated certificate is refused, naming it", () => {
    refusal(
      "chain_unrelated",
      () => upload({ certificates: client.chain + stranger.pem, privateKey: client.key }),
      /^certificate 3 \(CN=stranger\)/,
    );
  });

  it("with another CA of the issuer's name is refused", async () => {
    const namesake = await root.intermediate("Issuing CA");
    refusal(
      "chain_unrelated",
      () => upload({ certificates: client.pem + namesake.pem, privateKey: client.key }),
      /has the name of the issuer of certificate 1 \(CN=client\), but did not sign it$/,
    );
  });

  it("of 10 certificates is accepted, of 11 refused", async () => {
    let authority = await makeAuthority();
    for (let depth = 1; depth < 9; depth += 1)
      authority = await authority.intermediate(`CA ${depth}`);
    const ten = await authority.issue({ subject: "CN=deep" });
    const rootless = ten.chain;
    assert.equal(rootless.match(/BEGIN/g)?.length, 9);
    const next = await authority.intermediate("CA 9");
    const accepted = await next.issue({ subject: "CN=ten" });
    leafOf({ certificates: accepted.chain, privateKey: accepted.key });
    const refused = await (await next.intermediate("CA 10")).issue({ subject: "CN=eleven" });
    refusal(
      "chain_too_long",
      () => upload({ certificates: refused.chain, privateKey: refused.key }),
      /holds 11 certificates where 10 are allowed$/,
    );
  });
});

describe("CA", () => {
  it("with CA:TRUE is accepted, alone and as a bundle", () => {
    const parsed = upload({ certificates: root.pem + issuing.pem, ca: true });
    assert(parsed.kind === "ca");
    assert.equal(parsed.bundle, root.pem + issuing.pem);
    assert.equal(parsed.facts.subject, "CN=Root CA");
    upload({ certificates: root.pem, ca: true, privateKey: "" });
  });

  it("without CA:TRUE is refused, anywhere in the bundle", () => {
    refusal(
      "authority_not_ca",
      () => upload({ certificates: root.pem + client.pem, ca: true }),
      /^certificate 2 \(CN=client\) is not a CA: its basicConstraints lack CA:TRUE$/,
    );
  });

  it("with a private key is taken without it, in either file", () => {
    for (const fields of [
      { certificates: root.pem, privateKey: root.keyPem },
      { certificates: root.pem + root.keyPem },
    ]) {
      const parsed = upload({ ...fields, ca: true });
      assert.ok(!JSON.stringify(parsed).includes("PRIVATE KEY"));
      assert.deepEqual(
        parsed.warnings.map(({ code }) => code),
        ["private_key_dropped"],
      );
    }
  });

  it("as a leaf is taken with a warning", () => {
    const { warnings } = upload({ certificates: root.pem, privateKey: root.keyPem });
    assert.ok(warnings.some(({ code }) => code === "leaf_is_ca"));
  });
});

describe("dates", () => {
  it("an expired certificate is refused unless that is allowed", async () => {
    const expired = await root.issue({
      subject: "CN=late",
      notBefore: new Date(now.getTime() - 10 * DAY),
      notAfter: new Date(now.getTime() - 2 * DAY),
    });
    const fields = { certificates: expired.chain, privateKey: expired.key };
    refusal(
      "upload_expired",
      () => upload(fields),
      /^certificate 1 \(CN=late\) expired 2 days ago/,
    );
    const authorities = [root.pem];
    assert.deepEqual(codes(upload({ ...fields, authorities, allowExpired: true })), ["expired"]);
    const then = new Date(now.getTime() - 5 * DAY);
    assert.deepEqual(codes(upload({ ...fields, authorities, now: then })), ["expires_soon"]);
  });

  it("a certificate that is not valid yet is refused unless that is allowed", async () => {
    const early = await root.issue({
      subject: "CN=early",
      notBefore: new Date(now.getTime() + 2 * DAY),
    });
    const fields = { certificates: early.chain, privateKey: early.key, authorities: [root.pem] };
    refusal(
      "upload_not_yet_valid",
      () => upload(fields),
      /CN=early\) is not valid for another 1 day/,
    );
    assert.deepEqual(codes(upload({ ...fields, allowExpired: true })), ["not_yet_valid"]);
  });

  it("an expired intermediate is refused, naming it", () => {
    const later = new Date(now.getTime() + 200 * DAY);
    const chain = issuing.pem + root.pem;
    refusal(
      "upload_expired",
      () => upload({ certificates: chain, ca: true, now: later }),
      /CN=Issuing CA/,
    );
    upload({ certificates: root.pem, ca: true, now: later });
  });

  it("a certificate that expires within 30 days is stored with a warning that says when", async () => {
    const soon = await root.issue({
      subject: "CN=soon",
      notAfter: new Date(now.getTime() + 3.5 * DAY),
    });
    const parsed = upload({
      certificates: soon.chain,
      privateKey: soon.key,
      authorities: [root.pem],
    });
    assert.deepEqual(codes(parsed), ["expires_soon"]);
    assert.match(parsed.warnings[0]?.message ?? "", /CN=soon\) expires in 3 days/);
  });
});

describe("usage", () => {
  it("an extended key usage without clientAuth is stored with a warning", async () => {
    for (const [usages, expected] of [
      [["serverAuth"], ["client_auth_missing"]],
      [["clientAuth"], []],
      [[], []],
    ] as const) {
      const issued = await root.issue({ subject: "CN=usage", usages });
      const parsed = upload({
        certificates: issued.chain,
        privateKey: issued.key,
        authorities: [root.pem],
      });
      assert.deepEqual(codes(parsed), expected);
    }
  });
});

function fill(text: string, size: number): string {
  return text.padEnd(size, "\n");
}

function orders<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) =>
    orders(items.toSpliced(index, 1)).map((rest) => rest.toSpliced(0, 0, item)),
  );
}
