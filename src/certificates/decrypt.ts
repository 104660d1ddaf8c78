import { createPrivateKey } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { describeField, isEncrypted, splitPem, type PemBlock, type UploadField } from "./pem.ts";

/**
 * Whether a passphrase is needed to upload the file.
 * @throws Failure of `splitPem`
 */
export function hasEncryptedKey(text: string, field: UploadField): boolean {
  return splitPem(text, field).some(isEncrypted);
}

/**
 * The same file with each private key in clear, PKCS #8; for the CLI, which sends no passphrase.
 * @throws Failure `passphrase_wrong`, `encryption_unsupported`, or of `splitPem`
 */
export function decryptKeys(text: string, field: UploadField, passphrase: string): string {
  return splitPem(text, field)
    .map((block) => (isEncrypted(block) ? decrypt(block, passphrase) : toPem(block)))
    .join("");
}

function decrypt(block: PemBlock, passphrase: string): string {
  try {
    const key = createPrivateKey({ key: toPem(block), passphrase });
    return key.export({ format: "pem", type: "pkcs8" });
  } catch (cause) {
    const unsupported = (cause as NodeJS.ErrnoException).code === "ERR_OSSL_EVP_UNSUPPORTED";
    const place = `the private key in ${describeField(block.field)}, line ${block.line},`;
    throw new Failure(unsupported ? "encryption_unsupported" : "passphrase_wrong", {
      message: unsupported
        ? `${place} is encrypted with a cipher that OpenSSL no longer has`
        : `the passphrase does not open ${place.slice(0, -1)}`,
      cause,
      facts: { field: block.field, line: block.line },
    });
  }
}

function toPem({ label, headers, der }: PemBlock): string {
  const head = headers.length > 0 ? [...headers, ""] : [];
  const body = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...head, ...body, `-----END ${label}-----`, ""].join("\n");
}
