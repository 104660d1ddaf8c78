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
import { readText } from "./text-file.ts";
import type { MtlsBinding } from "./wrangler/wrangler.ts";

/** A binding's certificate, and where it came from. */
export interface ChosenCertificate {
  readonly binding: string;
  readonly facts: CertificateFacts;
  readonly warnings: readonly UploadWarning[];
  /** `--cert`, `countersign.json`, `the running platform` or `the development CA`. */
  readonly source: string;
  /** Its name in that source: a file or an id. */
  readonly label: string;
  /** Who presents it: a gateway in this process, which gets the key, or the running platform's gateway, at a socket. */
  readonly by:
    | { readonly chain: string; readonly privateKey: string }
    | { readonly socketPath: string };
}

/** A certificate that a running platform presents for this binding. Its key stays there. */
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
  /** Files given with `--cert`, by binding. Absolute paths. */
  readonly options: Readonly<Record<string, CertificateFiles>>;
  /** Entries of `countersign.json`, by binding. */
  readonly file: Readonly<Record<string, DevFileBinding>>;
  readonly fromPlatform: FromPlatform;
  readonly authority: DevAuthority;
  /** PEM. A chain that ends at one of these CAs is complete. */
  readonly authorities: readonly string[];
  /** The Worker's name, which becomes part of the subject if a certificate is issued here. */
  readonly workerName: string;
  readonly account: string;
  /** The environment that the Worker's identity names. Null: none. */
  readonly environment: string | null;
  /** Called, before the files are read, with the absolute paths of files whose change means another certificate. */
  readonly onFiles: (files: readonly string[]) => void;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key?: string | undefined;
}

/**
 * The certificate of one binding, from the first source that has one: `--cert`, countersign.json, the running platform,
 * the development CA.
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
  // A running platform does not present identities for others, so it is not asked for one.
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

/** A binding may have the name of an inherited property, such as `constructor`. */
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
  // Read one after the other, so that if both are missing the message always names the first.
  const certificates = await readText(files.cert);
  const privateKey = files.key === undefined ? undefined : await readText(files.key);
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
  // For programs that trust the development CA, the chain is complete.
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

/** A file of CAs may hold several certificates. */
function certificatesIn(bundle: string): readonly string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

interface DevelopmentLeaf {
  /** The file's name in the authority's folder. `ca` and `origin` are taken by the authority itself. */
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

/** Databases take a client's CN as the user's name (`clientcert=verify-full`). */
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

/** What the platform issues to the Worker in production, except that another CA signs it. */
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

/** Keeps the characters that may stand in a distinguished name, a SPIFFE ID and a file name without quoting. */
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
