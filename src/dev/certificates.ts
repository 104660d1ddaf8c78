import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseUpload } from "../certificates/parse.ts";
import type { ParsedLeaf } from "../certificates/upload.ts";
import { Failure } from "../failures.ts";
import type { DevAuthority } from "./authority.ts";
import type { DevFileBinding } from "./file.ts";
import type { MtlsBinding } from "./wrangler.ts";

/** Where a binding's certificate came from, and what it says. */
export interface ChosenCertificate {
  readonly binding: string;
  readonly leaf: ParsedLeaf;
  /** `--cert`, `countersign.json`, `the running platform`, `the development CA`. */
  readonly source: string;
  /** Its name in that source: a file, an id. */
  readonly label: string;
  /** Absolute paths that, when they change, bring another certificate. */
  readonly files: readonly string[];
  /** False: the certificate was given by the running platform, which says itself who is trusted. */
  readonly trust: PlatformCertificate["trust"] | null;
}

/** A certificate of a running platform, as its client gives it. */
export interface PlatformCertificate {
  readonly id: string;
  readonly name: string | null;
  /** Leaf first, PEM. */
  readonly chain: string;
  /** PEM. */
  readonly privateKey: string;
  /** CAs, PEM, that the account trusts origins by. */
  readonly trust: readonly string[];
}

/** Finds a certificate in the running platform. Null: it has none such, or none runs. */
export type FromPlatform = (wanted: {
  readonly id?: string;
  readonly name?: string;
}) => Promise<PlatformCertificate | null>;

export interface CertificateSources {
  /** `--cert`, by binding. Absolute paths. */
  readonly options: Readonly<Record<string, CertificateFiles>>;
  /** `countersign.json`, by binding. */
  readonly file: Readonly<Record<string, DevFileBinding>>;
  readonly fromPlatform: FromPlatform;
  readonly authority: DevAuthority;
  /** The Worker's name: part of the subject of a certificate made on the spot. */
  readonly workerName: string;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key?: string | undefined;
}

/**
 * The certificate of one binding, from the first source that has one: `--cert`, countersign.json,
 * the running platform, and else the development CA.
 * @throws Failure `dev_certificate_missing`, `dev_file_unreadable`, or why the certificate is refused
 */
export async function chooseCertificate(
  binding: MtlsBinding,
  sources: CertificateSources,
): Promise<ChosenCertificate> {
  const option = sources.options[binding.name];
  if (option) {
    return fromFiles(binding, option, "--cert");
  }
  const wanted = sources.file[binding.name]?.certificate;
  if (wanted && "cert" in wanted) {
    return fromFiles(binding, wanted, "countersign.json");
  }
  const found = await sources.fromPlatform(wanted ?? { id: binding.certificateId });
  if (found) {
    return fromPlatform(binding, found);
  }
  if (wanted) {
    throw new Failure("dev_certificate_missing", {
      message: `countersign.json gives "${binding.name}" the certificate ${JSON.stringify(wanted)}, and no running platform has it`,
      facts: { binding: binding.name, ...wanted },
    });
  }
  return fromAuthority(binding, sources);
}

async function fromFiles(
  binding: MtlsBinding,
  files: CertificateFiles,
  source: string,
): Promise<ChosenCertificate> {
  const paths = [files.cert, ...(files.key === undefined ? [] : [files.key])];
  const [certificates = "", privateKey] = await Promise.all(paths.map(readPem));
  const leaf = parse(binding, paths, {
    certificates,
    ...(privateKey === undefined ? {} : { privateKey }),
  });
  const label = paths.map((path) => basename(path)).join(", ");
  return { binding: binding.name, leaf, source, label, files: paths, trust: null };
}

function fromPlatform(binding: MtlsBinding, found: PlatformCertificate): ChosenCertificate {
  const label = found.name ?? found.id;
  const leaf = parse(binding, [label], {
    certificates: found.chain,
    privateKey: found.privateKey,
  });
  const source = "the running platform";
  return { binding: binding.name, leaf, source, label, files: [], trust: found.trust };
}

async function fromAuthority(
  binding: MtlsBinding,
  { authority, workerName }: CertificateSources,
): Promise<ChosenCertificate> {
  const pair = await authority.keep(
    fileName(binding.name),
    developmentLeaf(binding.name, workerName),
  );
  const leaf = parse(binding, [`${binding.name}.pem`], {
    certificates: pair.cert,
    privateKey: pair.key,
  });
  const source = "the development CA";
  const label = `.countersign/${fileName(binding.name)}.pem`;
  return { binding: binding.name, leaf, source, label, files: [], trust: null };
}

function developmentLeaf(binding: string, workerName: string): { subject: string; uris: string[] } {
  return {
    subject: `CN=${plain(binding)},OU=${plain(workerName)},O=Countersign development`,
    uris: [`spiffe://development.localhost/${plain(workerName)}/${plain(binding)}`],
  };
}

/** What may stand in a distinguished name, a SPIFFE ID and a file name without quoting. */
function plain(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}

/** Not `ca` or `origin`, which are the authority's own. */
function fileName(binding: string): string {
  return `binding-${plain(binding)}`;
}

function parse(
  binding: MtlsBinding,
  from: readonly string[],
  material: { certificates: string; privateKey?: string },
): ParsedLeaf {
  try {
    return parseUpload({
      ...material,
      ca: false,
      allowExpired: true,
      now: new Date(),
    }) as ParsedLeaf;
  } catch (error) {
    if (error instanceof Failure) {
      throw new Failure(error.code, {
        message: `the certificate of "${binding.name}" (${from.map((path) => `"${path}"`).join(", ")}): ${error.message}`,
        fix: error.fix,
        facts: { ...error.facts, binding: binding.name, files: from },
      });
    }
    throw error;
  }
}

export async function readPem(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Failure("dev_file_unreadable", {
      message: `reading "${path}" failed: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`,
      facts: { file: path },
      cause,
    });
  });
}
