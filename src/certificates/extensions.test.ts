import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { issueWith } from "../../test/helpers/keys.ts";
import { makeAuthority, type TestAuthority } from "../../test/helpers/pki.ts";
import { refusal } from "../../test/helpers/refusal.ts";
import { parseUpload } from "./parse.ts";
import type { ParsedUpload } from "./certificate-upload.ts";
import * as x509 from "./x509.ts";

const leaf = new x509.BasicConstraintsExtension(false, undefined, true);
const clientAuth = "1.3.6.1.5.5.7.3.2";
const serverAuth = "1.3.6.1.5.5.7.3.1";
let authority: TestAuthority;

before(async () => {
  authority = await makeAuthority();
});

async function upload(
  extensions: readonly x509.Extension[],
  ca = false,
): Promise<() => ParsedUpload> {
  const { pem, key } = await issueWith(authority, extensions);
  const now = new Date();
  const authorities = [authority.pem];
  const keys = ca ? {} : { privateKey: key };
  return () => parseUpload({ certificates: pem, ca, now, authorities, ...keys });
}

async function warnings(extensions: readonly x509.Extension[]): Promise<readonly string[]> {
  return (await upload(extensions))().warnings.map(({ code }) => code);
}

function usage(flags: x509.KeyUsageFlags): x509.Extension {
  return new x509.KeyUsagesExtension(flags, true);
}

function extendedUsage(...oids: string[]): x509.Extension {
  return new x509.ExtendedKeyUsageExtension(oids);
}

function raw(oid: string, hex: string, critical = false): x509.Extension {
  return new x509.Extension(oid, critical, Buffer.from(hex, "hex"));
}

describe("a certificate is accepted", () => {
  it("without any extension", async () => {
    assert.deepEqual(await warnings([]), []);
  });

  it("with an unknown extension that is not critical, and refused if it is", async () => {
    (await upload([leaf, raw("1.2.3.4", "0500")]))();
    refusal(
      "critical_extension_unsupported",
      await upload([leaf, raw("1.2.3.4", "0500", true)]),
      /critical extension 1\.2\.3\.4,/,
    );
  });

  it("with the critical extensions that TLS peers know", async () => {
    const signing = usage(x509.KeyUsageFlags.digitalSignature);
    const extended = new x509.ExtendedKeyUsageExtension([clientAuth], true);
    assert.deepEqual(await warnings([leaf, signing, extended]), []);
  });
});

describe("a certificate is stored with a warning", () => {
  it("if its extended key usage lacks clientAuth", async () => {
    assert.deepEqual(await warnings([leaf, extendedUsage(serverAuth)]), ["client_auth_missing"]);
    assert.deepEqual(await warnings([leaf, extendedUsage(serverAuth, clientAuth)]), []);
  });

  it("if its key usage lacks digitalSignature", async () => {
    const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags;
    assert.deepEqual(await warnings([leaf, usage(keyEncipherment)]), ["digital_signature_missing"]);
    assert.deepEqual(await warnings([leaf, usage(digitalSignature)]), []);
  });
});

describe("a certificate is malformed", () => {
  const cases: Readonly<Record<string, readonly x509.Extension[]>> = {
    "with an extension twice": [leaf, leaf],
    "with alternative names that are none": [raw("2.5.29.17", "0403820161")],
    "with bytes after its alternative names": [raw("2.5.29.17", "300382016100")],
    "with basic constraints of another class": [raw("2.5.29.19", "b000")],
    "with a loose boolean in its basic constraints": [raw("2.5.29.19", "3003010101")],
    "with a key usage that is no bit string": [raw("2.5.29.15", "0201ff")],
    "with a key usage that allows nothing": [raw("2.5.29.15", "030100")],
    "with an extended key usage that allows nothing": [raw("2.5.29.37", "3000")],
    "with an extended key usage that holds a date": [
      raw("2.5.29.37", "301406082b060105050703020e082b06010505070301"),
    ],
    "with an extended key usage that is no identifier": [
      raw("2.5.29.37", "300a06082b06010505800302"),
    ],
    "with a negative path length": [raw("2.5.29.19", "30060101ff0201ff")],
    "with places of revocation lists that are none": [raw("2.5.29.31", "30030201")],
  };
  for (const [name, extensions] of Object.entries(cases)) {
    it(name, async () => {
      refusal("certificate_malformed", await upload(extensions), /is not a well-formed X\.509/);
    });
  }
});

it("an odd extended key usage has no effect on the upload after it", async () => {
  const odd = await upload([raw("2.5.29.37", "301406082b060105050703020e082b06010505070301")]);
  const next = await upload([leaf]);
  try {
    odd();
  } catch {
    // Whether it is accepted is told above.
  }
  next();
});

describe("a CA", () => {
  it("needs CA:TRUE, and keyCertSign if it has a key usage", async () => {
    const ca = new x509.BasicConstraintsExtension(true, undefined, true);
    const { keyCertSign, digitalSignature } = x509.KeyUsageFlags;
    (await upload([ca], true))();
    (await upload([ca, usage(keyCertSign)], true))();
    refusal("authority_not_ca", await upload([], true), /basicConstraints lack CA:TRUE$/);
    refusal("authority_not_ca", await upload([leaf], true), /basicConstraints lack CA:TRUE$/);
    refusal(
      "authority_not_ca",
      await upload([ca, usage(digitalSignature)], true),
      /keyUsage lacks keyCertSign$/,
    );
  });
});
