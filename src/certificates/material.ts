import { Failure } from "../failures/failures.ts";
import { describeField, splitPem, type PemBlock, type UploadField } from "./pem.ts";
import type { CertificateUpload } from "./certificate-upload.ts";

/** The blocks of an upload, by what they are. */
export interface Material {
  readonly certificates: readonly PemBlock[];
  readonly keys: readonly PemBlock[];
}

const certificateLabels = new Set(["CERTIFICATE", "X509 CERTIFICATE"]);
const keyLabels = new Set([
  "PRIVATE KEY",
  "ENCRYPTED PRIVATE KEY",
  "RSA PRIVATE KEY",
  "EC PRIVATE KEY",
]);
/** `openssl ecparam -genkey` writes them before the key, which has them too. */
const ignoredLabels = new Set(["EC PARAMETERS"]);

const advice: Readonly<Record<string, string>> = {
  "TRUSTED CERTIFICATE":
    "Convert it: `openssl x509 -in FILE -out cert.pem` drops the trust settings.",
  "CERTIFICATE REQUEST": "A signing request is not a certificate yet: send what the CA answered.",
  "NEW CERTIFICATE REQUEST":
    "A signing request is not a certificate yet: send what the CA answered.",
  "PUBLIC KEY":
    "Send the private key: the file that was made before the public key was taken from it.",
  "OPENSSH PRIVATE KEY": "Convert a copy of it: `ssh-keygen -p -m PKCS8 -f COPY`.",
  PKCS7: "Convert it: `openssl pkcs7 -in FILE -print_certs -out chain.pem`.",
};

/**
 * Splits both files and tells certificates from keys. Either file may hold both, in any order.
 * @throws Failure of `splitPem`, `pem_label_unexpected`, `files_swapped`, `certificate_missing`
 */
export function readMaterial(upload: CertificateUpload): Material {
  const main = readField(upload.certificates, "certificates");
  const other = upload.privateKey?.trim()
    ? readField(upload.privateKey, "private_key")
    : { certificates: [], keys: [] };
  if (main.certificates.length === 0) throw withoutCertificate(main, other);
  return {
    certificates: unique([...main.certificates, ...other.certificates]),
    keys: unique([...main.keys, ...other.keys]),
  };
}

function readField(text: string, field: UploadField): Material {
  const blocks = splitPem(text, field).filter(({ label }) => !ignoredLabels.has(label));
  const odd = blocks.find(({ label }) => !certificateLabels.has(label) && !keyLabels.has(label));
  if (odd !== undefined) throw unexpected(odd);
  return {
    certificates: blocks.filter(({ label }) => certificateLabels.has(label)),
    keys: blocks.filter(({ label }) => keyLabels.has(label)),
  };
}

function unique(blocks: readonly PemBlock[]): readonly PemBlock[] {
  return blocks.filter(
    ({ der }, index) => blocks.findIndex((block) => block.der.equals(der)) === index,
  );
}

function withoutCertificate(main: Material, other: Material): Failure {
  const facts = { field: "certificates" };
  if (main.keys.length > 0 && other.certificates.length > 0) {
    return new Failure("files_swapped", {
      message:
        "the certificate file (`certificates`) holds the private key, and the key file (`private_key`) the certificate",
      facts,
    });
  }
  const what = main.keys.length > 0 ? "a private key but no certificate" : "no certificate";
  return new Failure("certificate_missing", {
    message: `${describeField("certificates")} holds ${what}`,
    facts,
  });
}

function unexpected({ label, field, line }: PemBlock): Failure {
  return new Failure("pem_label_unexpected", {
    message: `${describeField(field)}, line ${line}: "${label}" is neither a certificate nor a private key`,
    ...(Object.hasOwn(advice, label) ? { fix: advice[label] as string } : {}),
    facts: { field, line, label },
  });
}
