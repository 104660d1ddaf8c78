import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import * as fc from "fast-check";
import { parseUpload } from "../src/certificates/parse.ts";
import { Failure } from "../src/failures/failures.ts";
import { issueKind } from "./helpers/keys.ts";
import { mutate, type Mutation } from "./helpers/mutate.ts";
import { makeAuthority } from "./helpers/pki.ts";

/** CPU milliseconds, because a busy machine does not add to them. A hundred times the usual value. */
const SLOW = 1000;

/** `npm run fuzz:certificates` fuzzes for ten minutes; without the variable a few seconds are enough. */
const seconds = Number(process.env["FUZZ_SECONDS"] ?? 0);
const PROPERTIES = 4;

function runs(few: number): fc.Parameters<unknown> {
  if (seconds === 0) return { numRuns: few };
  const interruptAfterTimeLimit = (seconds * 1000) / PROPERTIES;
  return { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit };
}

/** DER. */
const certificateSeeds: Buffer[] = [];
const keySeeds: Buffer[] = [];
let chain: readonly string[];
let key: string;

before(async () => {
  const authority = await makeAuthority("Fuzz CA");
  const issuing = await authority.intermediate("Fuzz Issuing");
  const client = await issuing.issue({
    subject: "CN=client,O=Acme,C=US",
    dns: ["api.example.com"],
    ips: ["10.0.0.1"],
    uris: ["spiffe://acme/client"],
  });
  chain = [client.pem, issuing.pem, authority.pem];
  ({ key } = client);
  certificateSeeds.push(derOf(client.pem), derOf(authority.pem));
  keySeeds.push(derOf(client.key));
  for (const kind of ["RSA 2048", "RSA-PSS 2048", "Ed25519", "ML-DSA-44"]) {
    const issued = await issueKind(authority, kind);
    certificateSeeds.push(derOf(issued.pem));
    keySeeds.push(derOf(issued.key));
  }
});

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("flip", "set", "insert", "remove", "copy", "truncate"),
  at: fc.nat(20_000),
  value: fc.nat(255),
});
const flips = Array.from({ length: 64 * 8 }, (_, bit): Mutation => ({
  kind: "flip",
  at: bit >> 3,
  value: bit & 7,
}));
const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });

describe("whatever is uploaded, it is accepted or refused with a reason, in bounded time", () => {
  it("real certificates and keys with bytes of their DER changed", () => {
    fc.assert(
      fc.property(fc.nat(99), fc.nat(99), mutations, fc.boolean(), (one, other, changes, ca) => {
        const certificate = certificateSeeds[one % certificateSeeds.length] as Buffer;
        const privateKey = keySeeds[other % keySeeds.length] as Buffer;
        const changed = pemOf("CERTIFICATE", mutate(certificate, changes));
        judge(changed, pemOf("PRIVATE KEY", privateKey), ca);
        judge(changed + chain.join(""), key, ca);
        const changedKey = pemOf("PRIVATE KEY", mutate(privateKey, changes));
        judge(pemOf("CERTIFICATE", certificate), changedKey, ca);
      }),
      runs(800),
    );
  });

  it("real files with characters of their PEM changed", () => {
    fc.assert(
      fc.property(mutations, fc.boolean(), (changes, ca) => {
        const text = mutate(Buffer.from([...chain, key].join("")), changes).toString("latin1");
        judge(text, undefined, ca);
        judge(chain.join(""), mutate(Buffer.from(key), changes).toString("utf8"), ca);
      }),
      runs(1000),
    );
  });

  it("text that looks like PEM", () => {
    const piece = fc.oneof(
      fc.constantFrom("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "\n", "\r\n"),
      fc.constantFrom("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Proc-Type: 4,"),
      fc.constantFrom("-----BEGIN  -----", "-----BEGIN toString-----", "\uFEFF", "-----", "MII"),
      fc.string(),
      fc.base64String(),
    );
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece), fc.boolean(), (one, other, ca) => {
        judge(one.join(""), other.join(""), ca);
        judge(one.join("\n"), other.join("\n"), ca);
      }),
      runs(1000),
    );
  });

  it("every certificate cut off at every byte, and with every bit of its first 64 bytes flipped", () => {
    const [client] = chain as [string];
    for (const der of certificateSeeds.slice(0, 2)) {
      for (let length = 0; length < der.length; length += 1) {
        assert(judge(pemOf("CERTIFICATE", der.subarray(0, length)), key, false));
      }
      for (const change of flips) judge(pemOf("CERTIFICATE", mutate(der, [change])), key, false);
    }
    const [der] = keySeeds as [Buffer];
    for (let length = 0; length < der.length; length += 1) {
      assert(judge(client, pemOf("PRIVATE KEY", der.subarray(0, length)), false));
    }
    for (const change of flips) judge(client, pemOf("PRIVATE KEY", mutate(der, [change])), false);
  });

  it("values nested thousands deep, lengths beyond the end, and very long lines", () => {
    const bombs = [
      Buffer.alloc(40_000, Buffer.from("3080", "hex")),
      Buffer.alloc(40_000, Buffer.from("a080", "hex")),
      nested(8000),
      Buffer.from("3084ffffffff3000", "hex"),
      Buffer.concat([Buffer.from("3083010000", "hex"), Buffer.alloc(40_000, 0x30)]),
    ];
    for (const bomb of bombs) {
      for (const label of ["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]) {
        assert(judge(pemOf(label, bomb), key, true));
        assert(judge(chain[0] as string, pemOf(label, bomb), false));
      }
    }
    judge("-".repeat(65_000), undefined, false);
    judge("-----BEGIN ".repeat(5000), undefined, false);
    judge(`-----BEGIN ${"A ".repeat(30_000)}`, undefined, false);
    judge("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".repeat(1000), key, true);
    judge(`-----BEGIN CERTIFICATE-----\n${" ".repeat(60_000)}`, key, true);
  });
});

it("the order of blocks and the space between them change nothing", () => {
  const reference = parseUpload({ certificates: chain.join("") + key, ca: false, now: new Date() });
  const filler = fc.stringMatching(/^[ \t\r\na-z=:]*$/);
  fc.assert(
    fc.property(
      fc.shuffledSubarray([...chain, key], { minLength: 4 }),
      filler,
      (blocks, between) => {
        const certificates = blocks.join(`${between}\n`);
        const parsed = parseUpload({ certificates, ca: false, now: new Date() });
        assert.equal(parsed.facts.contentHash, reference.facts.contentHash);
      },
    ),
    runs(100),
  );
});

/** @returns the failure, or null if the certificate was accepted */
function judge(certificates: string, privateKey: string | undefined, ca: boolean): Failure | null {
  const started = process.cpuUsage();
  try {
    const parsed = parseUpload({
      certificates,
      ...(privateKey === undefined ? {} : { privateKey }),
      ca,
      now: new Date(),
      allowExpired: true,
    });
    assert.match(parsed.facts.fingerprint, /^[0-9a-f]{64}$/);
    return null;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    assert.notEqual(error.code, "internal");
    return error;
  } finally {
    const { user, system } = process.cpuUsage(started);
    assert((user + system) / 1000 < SLOW, `took ${(user + system) / 1000} ms`);
  }
}

/** Nested SEQUENCEs, each with the right length. */
function nested(depth: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (let level = 0; level < depth; level += 1) {
    const head =
      size < 128 ? Buffer.from([0x30, size]) : Buffer.from([0x30, 0x82, size >> 8, size & 255]);
    parts.push(head);
    size += head.length;
  }
  return Buffer.concat(parts.toReversed());
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ""), "base64");
}

function pemOf(label: string, der: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${Buffer.from(der).toString("base64")}\n-----END ${label}-----\n`;
}
