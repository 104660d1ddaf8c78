import { createPrivateKey, randomUUID, X509Certificate } from "node:crypto";
import { link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../failures/failures.ts";
import { issueLeaf, makeDevelopmentRoot, type IssueRequest, type KeyPair } from "./issue.ts";
import { readTextIfThere } from "./text-file.ts";

/** A CA of one project, for development only, in the folder `.countersign`, which git ignores. */
export interface DevAuthority {
  /** PEM. */
  readonly ca: string;
  /** Issues a new leaf, which is not stored. */
  issue(request: IssueRequest): Promise<KeyPair>;
  /**
   * The leaf stored under `name`. It is made again if it is missing, ends within a week, or does not match `request`.
   */
  keep(name: string, request: IssueRequest): Promise<KeyPair>;
}

const WEEK = 7 * 24 * 3_600_000;
export const authorityFolder = ".countersign";

/**
 * Opens the development CA of `project`, and makes it if it is missing. Several processes may do so at once; they get
 * the same CA.
 * @throws Failure `dev_authority_broken`
 */
export async function openAuthority(project: string): Promise<DevAuthority> {
  const folder = join(project, authorityFolder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, ".gitignore"), "*\n");
  const file = join(folder, "authority.pem");
  const root = (await readPair(file)) ?? (await makeAuthority(file));
  refuseBroken(root, file);
  // For programs that have to trust the CA. The file does not contain the key, so it may be shared.
  await writeWhole(join(folder, "ca.pem"), root.cert, 0o644, rename);
  return authorityOf(root, folder);
}

/** A CA that exists as long as the process. */
export async function temporaryAuthority(): Promise<DevAuthority> {
  const root = await makeDevelopmentRoot("CN=Countersign temporary CA");
  const kept = new Map<string, KeyPair>();
  return {
    ca: root.cert,
    issue: (request) => issueLeaf(root, request),
    keep: async (name, request) => {
      const leaf = kept.get(name) ?? (await issueLeaf(root, request));
      kept.set(name, leaf);
      return leaf;
    },
  };
}

function authorityOf(root: KeyPair, folder: string): DevAuthority {
  return {
    ca: root.cert,
    issue: (request) => issueLeaf(root, request),
    keep: async (name, request) => {
      const file = join(folder, `${name}.pem`);
      const kept = await readPair(file);
      if (kept !== null && isGood(kept, root, request)) {
        return kept;
      }
      const leaf = await issueLeaf(root, request);
      await writeWhole(file, leaf.cert + leaf.key, 0o600, rename);
      return leaf;
    },
  };
}

/** If several processes make a CA, the first to link its file wins, and the others use that one. */
async function makeAuthority(file: string): Promise<KeyPair> {
  const root = await makeDevelopmentRoot("O=Countersign development,CN=Countersign development CA");
  try {
    await writeWhole(file, root.cert + root.key, 0o600, link);
    return root;
  } catch (error) {
    const made = (error as NodeJS.ErrnoException).code === "EEXIST" && (await readPair(file));
    if (made) {
      return made;
    }
    throw error;
  }
}

function isGood(pair: KeyPair, root: KeyPair, request: IssueRequest): boolean {
  try {
    const leaf = new X509Certificate(pair.cert);
    const issuer = new X509Certificate(root.cert);
    const wanted = [...(request.dns ?? []), ...(request.ips ?? []), ...(request.uris ?? [])];
    return (
      leaf.validToDate.getTime() - Date.now() > WEEK &&
      leaf.checkIssued(issuer) &&
      leaf.verify(issuer.publicKey) &&
      leaf.checkPrivateKey(createPrivateKey(pair.key)) &&
      leaf.subject === request.subject.split(",").join("\n") &&
      wanted.every((name) => leaf.subjectAltName?.includes(name) ?? false)
    );
  } catch {
    return false;
  }
}

function refuseBroken(root: KeyPair, file: string): void {
  const fits = (() => {
    try {
      const certificate = new X509Certificate(root.cert);
      return certificate.ca && certificate.checkPrivateKey(createPrivateKey(root.key));
    } catch {
      return false;
    }
  })();
  if (!fits) {
    throw new Failure("dev_authority_broken", {
      message: `"${file}" holds no CA that can sign`,
      facts: { file },
    });
  }
}

/** A certificate and its key are in one file, so neither can be replaced without the other. */
async function readPair(file: string): Promise<KeyPair | null> {
  const text = await readTextIfThere(file);
  if (text === null) return null;
  const key = text.search(/-----BEGIN [A-Z ]*PRIVATE KEY-----/);
  return key < 0 ? { cert: text, key: "" } : { cert: text.slice(0, key), key: text.slice(key) };
}

/** @param place `rename` replaces an existing file; with `link` an existing file is an error (EEXIST) */
async function writeWhole(
  path: string,
  text: string,
  mode: number,
  place: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text, { mode });
    await place(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
