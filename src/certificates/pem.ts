import { Failure } from "../failures/failures.ts";

/** The two files of an upload, by their names in the API. */
export type UploadField = "certificates" | "private_key";

export interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
  /** RFC 1421 headers, a line each. Most blocks have none. */
  readonly headers: readonly string[];
  readonly field: UploadField;
  /** Counts from 1. */
  readonly line: number;
}

const MAXIMUM_BYTES = 64 * 1024;
const boundary = /^-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]*)-----$/;
const header = /^[A-Za-z][A-Za-z0-9-]*:/;
const base64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Splits a file into its PEM blocks, after RFC 7468, as laxly as OpenSSL: text around the blocks, a
 * byte order mark, any line end and indentation are left aside.
 * @throws Failure `upload_too_large`, `pem_missing` or `pem_malformed`
 */
export function splitPem(text: string, field: UploadField): readonly PemBlock[] {
  const size = Buffer.byteLength(text);
  if (size > MAXIMUM_BYTES) {
    throw new Failure("upload_too_large", {
      message: `${describeField(field)} has ${size} bytes where ${MAXIMUM_BYTES} are allowed`,
      facts: { field, size, maximum: MAXIMUM_BYTES },
    });
  }
  const blocks = [...readBlocks(text, field)];
  if (blocks.length === 0) throw missing(text, field);
  return blocks;
}

/** Encrypted in PKCS #8, or as OpenSSL did before it: `Proc-Type: 4,ENCRYPTED`. */
export function isEncrypted({ label, headers }: PemBlock): boolean {
  return (
    label === "ENCRYPTED PRIVATE KEY" || headers.some((text) => /^Proc-Type:.*ENCRYPTED/.test(text))
  );
}

export function describeField(field: UploadField): string {
  return field === "certificates"
    ? "the certificate file (`certificates`)"
    : "the key file (`private_key`)";
}

interface OpenBlock {
  readonly label: string;
  readonly line: number;
  readonly body: string[];
}

function* readBlocks(text: string, field: UploadField): Generator<PemBlock> {
  let open: OpenBlock | null = null;
  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = raw.replace(/^\uFEFF/, "").trim();
    const [, kind, label] = boundary.exec(line) ?? [];
    if (kind === undefined || label === undefined) {
      open?.body.push(line);
    } else if (kind === "BEGIN" && open === null) {
      open = { label, line: index + 1, body: [] };
    } else if (kind === "END" && open?.label === label) {
      yield close(open, field);
      open = null;
    } else {
      throw malformed(field, index + 1, `"${line}" stands where it does not belong`);
    }
  }
  if (open !== null) {
    throw malformed(field, open.line, `"BEGIN ${open.label}" has no END: the file was cut off`);
  }
}

function close({ label, line, body }: OpenBlock, field: UploadField): PemBlock {
  const start = headerLines(body);
  const encoded = body.slice(start).join("").replaceAll(/\s/g, "");
  const der = Buffer.from(encoded, "base64");
  if (!base64.test(encoded) || der.toString("base64") !== encoded) {
    throw malformed(field, line, `the "${label}" block is not base64`);
  }
  const headers = body.slice(0, start).filter((text) => text !== "");
  return { label, der, headers, field, line };
}

/** RFC 1421 headers end at an empty line. RFC 7468 has none. */
function headerLines(body: readonly string[]): number {
  const first = body.find((line) => line !== "");
  if (first === undefined || !header.test(first)) return 0;
  const end = body.indexOf("", body.indexOf(first));
  return end === -1 ? body.length : end + 1;
}

function missing(text: string, field: UploadField): Failure {
  const where = describeField(field);
  if (text.trim() === "") {
    return new Failure("pem_missing", { message: `${where} is empty`, facts: { field } });
  }
  if (text.includes("-----BEGIN") && text.includes("\\n")) {
    return new Failure("pem_missing", {
      message: `${where} has the two characters "\\n" where a PEM file has line ends`,
      fix: "Send real line ends: `printf '%b' \"$PEM\"` turns the one into the other.",
      facts: { field },
    });
  }
  if (text.startsWith("0\u0082") || text.startsWith("0\uFFFD")) {
    return new Failure("pem_missing", {
      message: `${where} looks like binary DER or PKCS #12, not like PEM`,
      fix: "Convert it: `openssl x509 -inform der -in FILE` or `openssl pkey -inform der -in FILE` for DER; `countersign certificate upload --p12 FILE` reads PKCS #12.",
      facts: { field },
    });
  }
  return new Failure("pem_missing", {
    message: `${where} has no line "-----BEGIN …-----"`,
    facts: { field },
  });
}

function malformed(field: UploadField, line: number, why: string): Failure {
  return new Failure("pem_malformed", {
    message: `${describeField(field)}, line ${line}: ${why}`,
    facts: { field, line },
  });
}
