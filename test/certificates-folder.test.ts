import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, it } from "node:test";
import { FolderSource, watchFolder } from "../src/certificates/source-folder.ts";
import type { FolderSourceOptions } from "../src/certificates/source-folder.ts";
import type { ParsedLeaf } from "../src/certificates/certificate-upload.ts";
import type { JudgedLeaf } from "../src/certificates/key-intake.ts";
import { keyPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import { Failure, type FailureCode } from "../src/failures/failures.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";

let authority: TestAuthority;
let issuing: TestAuthority;
let pairs: readonly TestCertificate[];
let folder: string;
let clock: Date;
let versions: ParsedLeaf[];
let failures: unknown[];

before(async () => {
  authority = await makeAuthority();
  issuing = await authority.intermediate("Issuing CA");
  pairs = await Promise.all([1, 2, 3].map((n) => issuing.issue({ subject: `CN=client ${n}` })));
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-folder-"));
  clock = new Date();
  versions = [];
  failures = [];
});

afterEach(() => rm(folder, { recursive: true }));

const keyring = new Keyring(randomBytes(32));
const place = keyPlace({ accountId: "a", certificateId: "c", version: 1 });

async function opened(version: JudgedLeaf): Promise<ParsedLeaf> {
  const sealed = keyring.wrap(place, await version.sealKey(place));
  return { ...version, privateKey: keyring.unseal(place, sealed) };
}

function options(more: Partial<FolderSourceOptions> = {}): FolderSourceOptions {
  return {
    folder,
    authorities: [authority.pem],
    now: () => clock,
    onVersion: async (version) => void versions.push(await opened(version)),
    onFailure: (error) => failures.push(error),
    ...more,
  };
}

/** Two looks: the first finds a change, the second finds it settled. */
async function settle(source: FolderSource): Promise<void> {
  await source.look();
  await source.look();
}

function pass(milliseconds: number): void {
  clock = new Date(clock.getTime() + milliseconds);
}

function subjects(): readonly string[] {
  return versions.map(({ facts }) => facts.subject);
}

function codes(): readonly (FailureCode | undefined)[] {
  return failures.map((error) => (error instanceof Failure ? error.code : undefined));
}

function pair(index: number): TestCertificate {
  return pairs[index] as TestCertificate;
}

async function write(index: number, names: readonly [string, string]): Promise<void> {
  await writeFile(join(folder, names[0]), pair(index).chain);
  await writeFile(join(folder, names[1]), pair(index).key);
}

/** Makes a symbolic link that replaces another one in a single step. */
async function relink(target: string, path: string): Promise<void> {
  await symlink(target, `${path}.new`);
  await rename(`${path}.new`, path);
}

/** Writes a secret that cert-manager renewed, as the kubelet does. */
async function writeSecret(index: number, name: string): Promise<void> {
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, "tls.crt"), pair(index).chain);
  await writeFile(join(folder, name, "tls.key"), pair(index).key);
  await writeFile(join(folder, name, "ca.crt"), authority.pem);
  await relink(name, join(folder, "..data"));
}

describe("a folder becomes a new version", () => {
  it("as a Kubernetes secret of cert-manager, by a swap of one link for both files", async () => {
    await writeSecret(0, "..2026_01");
    for (const name of ["tls.crt", "tls.key", "ca.crt"]) {
      await symlink(join("..data", name), join(folder, name));
    }
    const source = new FolderSource(options());
    await settle(source);
    await writeSecret(1, "..2026_02");
    await rm(join(folder, "..2026_01"), { recursive: true });
    await settle(source);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
    assert.equal(versions[1]?.privateKey, pair(1).key);
    assert.deepEqual(failures, []);
  });

  it("as certbot writes it, by a swap of a link for each file", async () => {
    await mkdir(join(folder, "archive"));
    for (const index of [0, 1]) {
      await write(index, [`archive/fullchain${index}.pem`, `archive/privkey${index}.pem`]);
    }
    await mkdir(join(folder, "live"));
    const live = join(folder, "live");
    const link = async (index: number, name: string): Promise<void> =>
      relink(`../archive/${name}${index}.pem`, join(live, `${name}.pem`));
    await link(0, "privkey");
    await link(0, "fullchain");
    const source = new FolderSource(options({ folder: live }));
    await settle(source);
    await link(1, "privkey");
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1"]);
    await link(1, "fullchain");
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
    assert.deepEqual(failures, []);
  });

  it("as step writes it, in place, certificate and key a second apart", async () => {
    const files = ["api.crt", "api.key"] as const;
    await write(0, files);
    const source = new FolderSource(options());
    await settle(source);
    await writeFile(join(folder, files[0]), pair(1).chain);
    await settle(source);
    pass(1000);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1"]);
    await writeFile(join(folder, files[1]), pair(1).key);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
    assert.deepEqual(failures, []);
  });

  it("when the folder itself is a link that is swapped", async () => {
    for (const index of [0, 1]) {
      await mkdir(join(folder, `v${index}`));
      await write(index, [`v${index}/tls.crt`, `v${index}/tls.key`]);
    }
    await relink("v0", join(folder, "current"));
    const source = new FolderSource(options({ folder: join(folder, "current") }));
    await settle(source);
    await relink("v1", join(folder, "current"));
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
  });

  it("under names that are given", async () => {
    await write(0, ["a.pem", "b.pem"]);
    const names = { certificate: "a.pem", key: "b.pem" };
    await settle(new FolderSource(options({ names })));
    assert.deepEqual(subjects(), ["CN=client 1"]);
  });

  it("whatever the moment of a look during a hundred swaps, never with the key of another", async () => {
    await writeSecret(0, "..0");
    for (const name of ["tls.crt", "tls.key"]) {
      await symlink(join("..data", name), join(folder, name));
    }
    const source = new FolderSource(options());
    await settle(source);
    const swapped = new AbortController();
    const looking = (async () => {
      while (!swapped.signal.aborted) await source.look();
    })();
    for (let swap = 1; swap <= 100; swap += 1) await writeSecret(swap % 3, `..${swap}`);
    swapped.abort();
    await looking;
    await settle(source);
    assert.equal(subjects().at(-1), "CN=client 2");
    for (const { facts, privateKey } of versions) {
      assert.equal(privateKey, pair(Number(facts.subject.at(-1)) - 1).key);
    }
    assert.deepEqual(failures, []);
  });

  it("by itself, until it is disposed of", async () => {
    const taken = Promise.withResolvers<string>();
    await using watch = await watchFolder(
      options({ interval: 10, onVersion: async ({ facts }) => taken.resolve(facts.subject) }),
    );
    assert(watch);
    await write(0, ["tls.crt", "tls.key"]);
    assert.equal(await taken.promise, "CN=client 1");
  });
});

describe("a folder does not become a version", () => {
  const files = ["tls.crt", "tls.key"] as const;
  const certificatePath = (): string => join(folder, files[0]);

  it("while a file is half written, at whatever byte, and the last good one stays", async () => {
    await write(0, files);
    const source = new FolderSource(options());
    await settle(source);
    await writeFile(join(folder, files[1]), pair(1).key);
    const { chain, pem } = pair(1);
    for (const length of [
      0,
      1,
      30,
      pem.length - 1,
      pem.length,
      pem.length + 40,
      chain.length - 30,
    ]) {
      await writeFile(certificatePath(), chain);
      await truncate(certificatePath(), length);
      await settle(source);
      assert.deepEqual(subjects(), ["CN=client 1"], `${length} bytes`);
    }
    await writeFile(certificatePath(), chain);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
    assert.equal(versions[1]?.chain, chain);
    assert.deepEqual(failures, []);
  });

  it("on the first look that finds it", async () => {
    const source = new FolderSource(options());
    await write(0, files);
    await source.look();
    assert.deepEqual(subjects(), []);
    await source.look();
    assert.deepEqual(subjects(), ["CN=client 1"]);
  });

  it("twice, nor if it is the one that is stored", async () => {
    await write(0, files);
    const source = new FolderSource(options());
    await settle(source);
    await writeFile(certificatePath(), pair(0).chain.replaceAll("\n", "\r\n"));
    await settle(source);
    await settle(source);
    assert.equal(versions.length, 1);
    const known = versions[0]?.facts.contentHash ?? "";
    await settle(new FolderSource(options({ known })));
    assert.equal(versions.length, 1);
  });

  it("if the key does not match for longer than the patience, which is reported once", async () => {
    await write(0, files);
    const source = new FolderSource(options());
    await settle(source);
    await writeFile(join(folder, files[1]), pair(1).key);
    await settle(source);
    pass(9999);
    await settle(source);
    assert.deepEqual(codes(), []);
    pass(1);
    await settle(source);
    await settle(source);
    assert.deepEqual(codes(), ["private_key_mismatch"]);
    assert.deepEqual(subjects(), ["CN=client 1"]);
    await writeFile(certificatePath(), pair(1).chain);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
  });

  it("while it is not valid yet, and does once it is", async () => {
    const early = await issuing.issue({
      subject: "CN=early",
      notBefore: new Date(clock.getTime() + 3_600_000),
    });
    await writeFile(certificatePath(), early.chain);
    await writeFile(join(folder, files[1]), early.key);
    const source = new FolderSource(options());
    await settle(source);
    pass(60_000);
    await source.look();
    assert.deepEqual(codes(), ["upload_not_yet_valid"]);
    pass(3_600_000);
    await source.look();
    assert.deepEqual(subjects(), ["CN=early"]);
  });

  it("if it vanishes, which is reported once, and is accepted when it comes back", async () => {
    await write(0, files);
    const source = new FolderSource(options());
    await settle(source);
    await rename(folder, `${folder}-gone`);
    await settle(source);
    pass(10_000);
    await settle(source);
    await mkdir(folder);
    await rm(`${folder}-gone`, { recursive: true });
    await write(1, files);
    await settle(source);
    assert.deepEqual(codes(), ["folder_unreadable"]);
    assert.deepEqual(subjects(), ["CN=client 1", "CN=client 2"]);
  });

  it("if it has no pair, or several, or too large a file, and says so", async () => {
    const source = new FolderSource(options({ patience: 0 }));
    await settle(source);
    await write(0, ["a.crt", "a.key"]);
    await write(1, ["b.crt", "b.key"]);
    await settle(source);
    await write(2, files);
    await truncate(certificatePath(), 65_537);
    await settle(source);
    assert.deepEqual(codes(), ["folder_unreadable", "folder_unreadable", "upload_too_large"]);
    assert.match(String(failures[0]), /holds no pair/);
    assert.match(String(failures[1]), /holds 2 pairs/);
  });

  it("if it is a pipe, a folder or a device, for which nothing waits", async () => {
    const source = new FolderSource(options({ patience: 0 }));
    const [certificate, key] = files;
    await writeFile(join(folder, key), pairs[0]!.key);
    for (const make of [
      () => execFileSync("mkfifo", [certificatePath()]),
      () => mkdir(certificatePath()),
      () => symlink("/dev/zero", certificatePath()),
    ]) {
      await make();
      await settle(source);
      await rm(certificatePath(), { recursive: true });
      await settle(source);
    }
    assert.deepEqual(new Set(codes()), new Set(["folder_unreadable"]));
    const told = failures.filter((failure) => String(failure).includes("it is no file"));
    assert.equal(told.length, 3);
    await write(1, [certificate, key]);
    await settle(source);
    assert.deepEqual(subjects(), ["CN=client 2"]);
  });

  it("for as long as its patience, and not longer where the clock is set back", async () => {
    await write(0, files);
    await writeFile(join(folder, files[1]), pairs[1]!.key);
    const source = new FolderSource(options());
    await settle(source);
    pass(-3_600_000);
    await source.look();
    pass(10_000);
    await source.look();
    assert.deepEqual(codes(), ["private_key_mismatch"]);
  });

  it("until the receiver has accepted it", async () => {
    await write(0, files);
    let broken = true;
    const source = new FolderSource(
      options({
        patience: 0,
        onVersion: async (version) => {
          if (broken) throw new Error("the store is away");
          versions.push(await opened(version));
        },
      }),
    );
    await settle(source);
    await settle(source);
    assert.match(String(failures), /^Error: the store is away$/);
    broken = false;
    await source.look();
    await source.look();
    assert.equal(versions.length, 1);
  });

  it("if there is no such folder at the start", async () => {
    await assert.rejects(watchFolder(options({ folder: join(folder, "none") })), {
      code: "folder_unreadable",
    });
  });
});
