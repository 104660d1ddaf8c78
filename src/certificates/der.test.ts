import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rootCertificates } from "node:tls";
import { parseUpload } from "./parse.ts";
import { requireDer } from "./der.ts";

describe("a value is DER", () => {
  const values: Readonly<Record<string, string>> = {
    "an integer": "020101",
    true: "0101ff",
    false: "010100",
    "an empty sequence": "3000",
    "a sequence of 128 bytes": `308180${"0500".repeat(64)}`,
    "an identifier": "06082b06010505070302",
    "an identifier with a number of two bytes": "0603558100",
    "an octet string that looks like a value in it": "04050400010203",
    "a sequence of 256 bytes": `30820100${"0500".repeat(128)}`,
  };
  for (const [name, hex] of Object.entries(values)) {
    it(name, () => requireDer(Buffer.from(hex, "hex")));
  }
});

describe("a value is not DER", () => {
  const values: Readonly<Record<string, string>> = {
    nothing: "",
    "cut off": "0201",
    "with a byte after it": "02010100",
    "with a long length where a short one does": "30810502030101ff",
    "with a zero before its length": `3083000100${"0500".repeat(128)}`,
    "of indefinite length": "30800201010000",
    "with an inner value that ends beyond it": "3004020101020101",
    "with an inner value that goes on beyond it": "30030203010203",
    "true, but not FF": "010101",
    "a loose boolean within": "3003010101",
    "of a class of its own": "a003020101",
    "an identifier that is empty": "0600",
    "an identifier that is cut off": "06022b86",
    "an identifier with a zero before a number": "06042b800105",
    "a null with content": "050100",
    "a string in parts": "24050403010203",
    "a sequence that is not made of values": "1000",
    "a tag that is not the shortest": "3004bf800100",
    "a length of five bytes": "02850000000001ff",
    "indefinite within": "300730800201010000",
  };
  for (const [name, hex] of Object.entries(values)) {
    it(name, () => {
      assert.throws(() => requireDer(Buffer.from(hex, "hex")));
    });
  }
});

it("every public root that Node trusts is accepted as a CA", () => {
  const now = new Date();
  for (const certificates of rootCertificates) {
    const parsed = parseUpload({ certificates, ca: true, now, allowExpired: true });
    assert.equal(parsed.facts.subject, parsed.facts.issuer);
  }
});
