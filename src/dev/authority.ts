import { X509Certificate } from "node:crypto";
import { createPrivateKey } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../failures.ts";
import { issueLeaf, makeRoot, type IssueRequest, type KeyPair } from "./issue.ts";

/** A CA of one project, for development only, in the folder `.countersign` that git ignores. */
export interface DevAuthority {
  /** PEM. */
  readonly ca: string;
  /** A new leaf that is kept nowhere. */
  issue(request: IssueRequest): Promise<KeyPair>;
  /**
   * The leaf kept under `name`, made (again) where there is none, where it ends within a week, or
   * where it says something else than `request`.
   */
  keep(name: string, request: IssueRequest): Promise<KeyPair>;
}

const WEEK = 7 * 24 * 3_600_000;
export const authorityFolder = ".countersign";

/**
 * Opens the development CA of `project`, making it if there is none.
 * @throws Failure `dev_authority_broken`
 */
export async function openAuthority(project: string): Promise<DevAuthority> {
  const folder = join(project, authorityFolder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, ".gitignore"), "*\n");
  const root = (await readPair(folder, "ca")) ?? (await makeAuthority(folder));
  refuseBroken(root, folder);
  return authorityOf(root, folder);
}

/** A CA that lives as long as the process: for tests. */
export async function temporaryAuthority(): Promise<DevAuthority> {
  const root = await makeRoot("CN=Countersign test CA");
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
      const kept = await readPair(folder, name);
      if (kept !== null && isGood(kept, root, request)) {
        return kept;
      }
      const leaf = await issueLeaf(root, request);
      await writePair(folder, name, leaf);
      return leaf;
    },
  };
}

async function makeAuthority(folder: string): Promise<KeyPair> {
  const root = await makeRoot("CN=Countersign development CA");
  await writePair(folder, "ca", root);
  return root;
}

function isGood(pair: KeyPair, root: KeyPair, request: IssueRequest): boolean {
  try {
    const leaf = new X509Certificate(pair.cert);
    const wanted = [...(request.dns ?? []), ...(request.ips ?? []), ...(request.uris ?? [])];
    return (
      leaf.validToDate.getTime() - Date.now() > WEEK &&
      leaf.checkIssued(new X509Certificate(root.cert)) &&
      leaf.verify(new X509Certificate(root.cert).publicKey) &&
      leaf.checkPrivateKey(createPrivateKey(pair.key)) &&
      leaf.subject === request.subject.split(",").join("\n") &&
      wanted.every((name) => leaf.subjectAltName?.includes(name) ?? false)
    );
  } catch {
    return false;
  }
}

function refuseBroken(root: KeyPair, folder: string): void {
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
      message: `"${join(folder, "ca.pem")}" and "ca-key.pem" beside it are no CA that can sign`,
    });
  }
}

async function readPair(folder: string, name: string): Promise<KeyPair | null> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(folder, `${name}.pem`), "utf8"),
      readFile(join(folder, `${name}-key.pem`), "utf8"),
    ]);
    return { cert, key };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return null;
    }
    throw new Failure("dev_file_unreadable", {
      message: `reading "${join(folder, name)}.pem" or its key failed`,
      cause: error,
    });
  }
}

/** The key first: whoever finds the certificate finds its key. */
async function writePair(folder: string, name: string, pair: KeyPair): Promise<void> {
  await writeWhole(join(folder, `${name}-key.pem`), pair.key, 0o600);
  await writeWhole(join(folder, `${name}.pem`), pair.cert, 0o644);
}

async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text, { mode, flag: "wx" });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
