import forge from "node-forge";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Failure } from "../failures/failures.ts";

/** What a PKCS #12 file holds, as the fields of an upload. */
export interface P12Content {
  /** PEM, in the order of the file. */
  readonly certificates: string;
  /** PKCS #8, PEM. Several if the file has several, none if it has none. */
  readonly privateKey: string;
}

/**
 * Opens a `.p12` or `.pfx` file on the user's machine. node-forge, because it also reads what
 * Windows, macOS and Java write (3DES, RC2), which neither Node nor WebCrypto can.
 * @throws Failure `p12_malformed`, `passphrase_wrong` or `encryption_unsupported`
 */
export function readP12(bytes: Uint8Array, passphrase: string): P12Content {
  const bags = open(decode(bytes), passphrase).safeContents.flatMap(({ safeBags }) => safeBags);
  const ofType = (...types: readonly string[]): readonly forge.pkcs12.Bag[] =>
    bags.filter(({ type }) => types.includes(type));
  const { certBag, keyBag, pkcs8ShroudedKeyBag } = forge.pki.oids as Oids;
  const certificates = ofType(certBag).map(certificatePem);
  refuseRsaPss(certificates);
  const keys = ofType(keyBag, pkcs8ShroudedKeyBag).map(privateKeyPem);
  return { certificates: certificates.join(""), privateKey: keys.join("") };
}

type Oids = Readonly<Record<"certBag" | "keyBag" | "pkcs8ShroudedKeyBag", string>>;

function open(asn1: forge.asn1.Asn1, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  try {
    return forge.pkcs12.pkcs12FromAsn1(asn1, passphrase);
  } catch (error) {
    const { message } = error as Error;
    if (/(invalid|wrong) password/i.test(message)) throw wrong(error);
    // A wrong key decrypts to a right padding once in 256 times: what comes out then is anything.
    const opened = isAscii(passphrase) ? null : openUtf8(asn1, passphrase);
    if (opened !== null) return opened;
    if (message === DECRYPT_FAILED || (!hasMac(asn1) && !NO_FILE.test(message))) throw wrong(error);
    if (/unsupported|not supported|unknown/i.test(message)) {
      throw new Failure("encryption_unsupported", {
        message: `the PKCS #12 file cannot be opened: ${message.replace(/\.$/, "")}`,
        cause: error,
      });
    }
    throw malformed(error);
  }
}

/** Without a MAC nothing says whether the passphrase is right, but what it makes of the content. */
function hasMac({ value }: forge.asn1.Asn1): boolean {
  return value.length > 2;
}

/** What forge says before it has used the passphrase, or where the passphrase is not at fault. */
const NO_FILE =
  /^Cannot read PKCS#12 PFX|version other than|password integrity|authSafe|unsupported/i;
const DECRYPT_FAILED = "Failed to decrypt PKCS#12 SafeContents.";

/**
 * The MAC, which was right, takes the passphrase as UTF-16; OpenSSL encrypts with it as UTF-8. forge
 * has one passphrase for both, so the file is opened again without its MAC. Null: that is not it.
 */
function openUtf8(asn1: forge.asn1.Asn1, passphrase: string): forge.pkcs12.Pkcs12Pfx | null {
  const [version, content] = asn1.value as forge.asn1.Asn1[];
  const unsigned = { ...asn1, value: [version, content] } as forge.asn1.Asn1;
  try {
    return forge.pkcs12.pkcs12FromAsn1(unsigned, forge.util.encodeUtf8(passphrase));
  } catch {
    return null;
  }
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

function wrong(cause: unknown): Failure {
  return new Failure("passphrase_wrong", {
    message: "the passphrase does not open the PKCS #12 file",
    cause,
  });
}

function decode(bytes: Uint8Array): forge.asn1.Asn1 {
  try {
    return forge.asn1.fromDer(Buffer.from(bytes).toString("latin1"));
  } catch (cause) {
    throw malformed(cause);
  }
}

function malformed(cause: unknown): Failure {
  return new Failure("p12_malformed", { message: "the file is not well-formed PKCS #12", cause });
}

/** forge decodes RSA only; what it does not know it leaves as it was, in `asn1`. */
function certificatePem({ cert, asn1 }: forge.pkcs12.Bag): string {
  return toPem("CERTIFICATE", cert ? forge.pki.certificateToAsn1(cert) : asn1);
}

function privateKeyPem({ key, asn1 }: forge.pkcs12.Bag): string {
  try {
    const pem = key ? forge.pki.privateKeyToPem(key) : toPem("PRIVATE KEY", asn1);
    return createPrivateKey(pem).export({ format: "pem", type: "pkcs8" });
  } catch (cause) {
    throw malformed(cause);
  }
}

/** forge reads such a key as a plain RSA key, which is then not the certificate's. */
function refuseRsaPss(certificates: readonly string[]): void {
  for (const pem of certificates) {
    if (publicKeyType(pem) !== "rsa-pss") continue;
    throw new Failure("key_algorithm_unsupported", {
      message: "the PKCS #12 file holds an RSA-PSS key, which is not read from PKCS #12",
      fix: "Convert it, and upload the PEM file: `openssl pkcs12 -in FILE -nodes -out NEW.pem`.",
    });
  }
}

/** Null: left to the code that judges the certificate. */
function publicKeyType(pem: string): string | null {
  try {
    return new X509Certificate(pem).publicKey.asymmetricKeyType ?? null;
  } catch {
    return null;
  }
}

function toPem(label: string, asn1: forge.asn1.Asn1): string {
  const body = Buffer.from(forge.asn1.toDer(asn1).getBytes(), "latin1").toString("base64");
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}
