import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { workerSpiffeId } from "countersign-origin";
import { parseUpload } from "../certificates/parse.ts";
import type {
  CertificateFacts,
  ParsedLeaf,
  UploadWarning,
} from "../certificates/certificate-upload.ts";
import { Failure } from "../failures/failures.ts";
import { IDENTITY, TRUST_DOMAIN } from "../contract/identity.ts";
import type { DevAuthority } from "./authority.ts";
import type { DevFileBinding } from "./file.ts";
import type { IssueRequest } from "./issue.ts";
import type { MtlsBinding } from "./wrangler/wrangler.ts";

/** Where a binding's certificate came from, and what it says. */
export interface ChosenCertificate {
  readonly binding: string;
  readonly facts: CertificateFacts;
  readonly warnings: readonly UploadWarning[];
  /** `--cert`, `countersign.json`, `the running platform`, `the development CA`. */
  readonly source: string;
  /** Its name in that source: a file, an id. */
  readonly label: string;
  /** What presents it: a gateway that is given the key, or the platform's own at a socket. */
  readonly by:
    | { readonly chain: string; readonly privateKey: string }
    | { readonly socketPath: string };
}

/** A certificate that a running platform presents on behalf of this binding. Its key stays there. */
export interface PlatformBinding {
  readonly id: string;
  readonly name: string | null;
  readonly facts: CertificateFacts;
  /** Absolute. */
  readonly socketPath: string;
}

/** Asks the running platform for a certificate. Null: it has no such certificate, or no platform runs. */
export type FromPlatform = (wanted: WantedCertificate) => Promise<PlatformBinding | null>;

export interface WantedCertificate {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

export interface CertificateSources {
  /** `--cert`, by binding. Absolute paths. */
  readonly options: Readonly<Record<string, CertificateFiles>>;
  /** `countersign.json`, by binding. */
  readonly file: Readonly<Record<string, DevFileBinding>>;
  readonly fromPlatform: FromPlatform;
  readonly authority: DevAuthority;
  /** PEM: a chain that ends at one of these CAs is complete. */
  readonly authorities: readonly string[];
  /** The Worker's name: part of the subject of a certificate made on the spot. */
  readonly workerName: string;
  readonly account: string;
  /** What the Worker's identity names. Null: none. */
  readonly environment: string | null;
  /** Told, before they are read, of the absolute paths that bring another certificate on change. */
  readonly onFiles: (files: readonly string[]) => void;
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
  const option = ofName(sources.options, binding.name);
  if (option) {
    return fromFiles(binding, option, "--cert", sources);
  }
  const wanted = ofName(sources.file, binding.name)?.certificate;
  if (wanted && "cert" in wanted) {
    return fromFiles(binding, wanted, "countersign.json", sources);
  }
  sources.onFiles([]);
  const isIdentity = binding.certificateId === IDENTITY;
  // The platform's Workers keep their identities for themselves.
  const found =
    isIdentity && wanted === undefined
      ? null
      : await sources.fromPlatform(wanted ?? { id: binding.certificateId });
  if (found) {
    return fromPlatform(binding, found);
  }
  if (wanted) {
    throw new Failure("dev_certificate_missing", {
      message: `countersign.json gives "${binding.name}" the certificate ${JSON.stringify(wanted)}, and no running platform has it`,
      facts: { binding: binding.name, ...wanted },
    });
  }
  return fromAuthority(
    binding,
    sources,
    isIdentity
      ? identityLeaf(binding, sources)
      : binding.database
        ? databaseLeaf(binding.name, binding.database, sources)
        : developmentLeaf(binding, sources),
  );
}

/** A binding may be called `constructor`. */
export function ofName<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

async function fromFiles(
  binding: MtlsBinding,
  files: CertificateFiles,
  source: string,
  { onFiles, authorities }: CertificateSources,
): Promise<ChosenCertificate> {
  const paths = [files.cert, ...(files.key === undefined ? [] : [files.key])];
  onFiles(paths);
  // One after the other, so that with both missing the message names the first every time.
  const certificates = await readPem(files.cert);
  const privateKey = files.key === undefined ? undefined : await readPem(files.key);
  const leaf = parse(binding, paths, {
    certificates,
    ...(privateKey === undefined ? {} : { privateKey }),
    authorities: authorities.flatMap(certificatesIn),
  });
  const label = paths.map((path) => basename(path)).join(", ");
  return chosen(binding, leaf, { source, label });
}

function fromPlatform(binding: MtlsBinding, found: PlatformBinding): ChosenCertificate {
  return {
    binding: binding.name,
    facts: found.facts,
    warnings: [],
    source: "the running platform",
    label: found.name ?? found.id,
    by: { socketPath: found.socketPath },
  };
}

async function fromAuthority(
  binding: MtlsBinding,
  { authority }: CertificateSources,
  { file, request }: DevelopmentLeaf,
): Promise<ChosenCertificate> {
  const pair = await authority.keep(file, request);
  const leaf = parse(binding, [`${binding.name}.pem`], {
    certificates: pair.cert,
    privateKey: pair.key,
  });
  const source = "the development CA";
  const label = `.countersign/${file}.pem`;
  // Its chain is complete for programs that trust the development CA.
  return chosen(binding, { ...leaf, warnings: [] }, { source, label });
}

function chosen(
  binding: MtlsBinding,
  { facts, warnings, chain, privateKey }: ParsedLeaf,
  from: Pick<ChosenCertificate, "source" | "label">,
): ChosenCertificate {
  const here = warnings.map((warning) => ({
    ...warning,
    message: warning.message.replace("a CA of this account", "a CA of countersign.json"),
  }));
  return { binding: binding.name, facts, warnings: here, ...from, by: { chain, privateKey } };
}

/** A file of CAs may hold several. */
function certificatesIn(bundle: string): readonly string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

interface DevelopmentLeaf {
  /** Its name in the authority's folder: not `ca` or `origin`, which are the authority's own. */
  readonly file: string;
  readonly request: IssueRequest;
}

function developmentLeaf(
  { name }: MtlsBinding,
  { workerName }: CertificateSources,
): DevelopmentLeaf {
  return {
    file: `binding-${plain(name)}`,
    request: {
      subject: `O=Countersign development,OU=${plain(workerName)},CN=${plain(name)}`,
      uris: [`spiffe://development.localhost/${plain(workerName)}/${plain(name)}`],
    },
  };
}

/** Databases know a client by its CN: it is the user's name (`clientcert=verify-full`). */
function databaseLeaf(
  name: string,
  { user }: { readonly user: string },
  { workerName }: CertificateSources,
): DevelopmentLeaf {
  return {
    file: `database-${plain(name)}`,
    request: {
      subject: `O=Countersign development,OU=${plain(workerName)},CN=${plain(user)}`,
      uris: [`spiffe://development.localhost/${plain(workerName)}/${plain(name)}`],
    },
  };
}

/** What the platform issues to the Worker in production, but for the CA. */
function identityLeaf(
  binding: MtlsBinding,
  { workerName, account, environment: own }: CertificateSources,
): DevelopmentLeaf {
  const worker = binding.worker ?? workerName;
  const environment = binding.environment ?? own;
  const uri = workerSpiffeId({ trustDomain: TRUST_DOMAIN, account, worker, environment });
  const place = environment === null ? "" : `@${plain(environment)}`;
  return {
    file: `identity-${plain(account)}-${plain(worker)}${place}`,
    request: { subject: `O=${plain(account)},CN=${plain(worker)}`, uris: [uri] },
  };
}

/** What may stand in a distinguished name, a SPIFFE ID and a file name without quoting. */
function plain(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}

function parse(
  binding: MtlsBinding,
  from: readonly string[],
  material: {
    readonly certificates: string;
    readonly privateKey?: string;
    readonly authorities?: readonly string[];
  },
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
