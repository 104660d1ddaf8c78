import { chmod, copyFile, lstat, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AssetStore, copyLinks } from "../assets.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import { ACCESS_KEYS } from "../../ingress/protocol.ts";
import type { RunnableVersion } from "../in-process.ts";
import type { WorkerVersion } from "../../contract/change-feed.ts";
import type { StoredModule, LaidOutVersion } from "../config/workerd-config.ts";

interface FolderContext {
  readonly run: RunDirectory;
  readonly assets: AssetStore;
  readonly nextId: () => number;
}

/**
 * The files and sockets of one process: all of this machine that it sees. Who may enter the folder
 * may read what is in it, and connect to each socket. The process can write to the folder `o` alone, where it listens; what others connect to is moved out of there first, so
 * that a hostile process cannot put anything else, such as a symbolic link, in its place.
 */
export class GenerationFolder {
  /** Relative to the run directory, as every path of a socket. */
  readonly relative: string;
  readonly absolute: string;
  readonly #run: RunDirectory;

  private constructor(run: RunDirectory, id: number) {
    this.#run = run;
    this.relative = `g/${id}`;
    this.absolute = run.absolute(this.relative);
  }

  /** The path of something in the folder, relative to the run directory. */
  inRun(name: string): string {
    return `${this.relative}/${name}`;
  }

  /** Writes the modules down, so that their content need not stay in memory. */
  static async write(
    { run, assets, nextId }: FolderContext,
    version: RunnableVersion,
  ): Promise<{ folder: GenerationFolder; stored: LaidOutVersion }> {
    const folder = new GenerationFolder(run, nextId());
    await folder.#make();
    if (version.assets !== undefined) {
      const { accountId, assets: served } = version;
      await folder.#orRemove(() => assets.layOut(accountId, folder.path(ASSETS), served.files));
    }
    const modules: StoredModule[] = [];
    const sourceMaps = new Map<string, string>();
    for (const [index, { name, type, content }] of version.modules.entries()) {
      const file = `m${index}`;
      await writeFile(folder.path(file), content, { mode: 0o644 });
      if (type === "sourcemap") sourceMaps.set(name.replace(/\.map$/, ""), file);
      else modules.push({ name, type, file });
    }
    // workerd takes the first module for the main one.
    modules.sort((a, b) => rank(a, version) - rank(b, version));
    return {
      folder,
      stored: {
        ...version,
        assets: version.assets?.config ?? null,
        modules,
        sourceMaps,
        asksForKeys: asksForKeys(version),
        asksCache: isIn(version, "caches"),
        origins: opensSockets(version) ? [] : version.origins,
      },
    };
  }

  /** A second folder for the same version. */
  async copy(run: RunDirectory, id: number, stored: LaidOutVersion): Promise<GenerationFolder> {
    const folder = new GenerationFolder(run, id);
    await folder.#make();
    const files = [...stored.modules.map(({ file }) => file), ...stored.sourceMaps.values()];
    for (const file of files) await copyFile(this.path(file), folder.path(file));
    if (stored.assets != null) await copyLinks(this.path(ASSETS), folder.path(ASSETS));
    return folder;
  }

  path(file: string): string {
    return join(this.absolute, file);
  }

  async readSourceMap(stored: LaidOutVersion, moduleName: string): Promise<string | null> {
    const file = stored.sourceMaps.get(moduleName);
    return file === undefined ? null : readFile(this.path(file), "utf8");
  }

  /** Removes what a process before has left where it could write, and the place itself. */
  async clear(): Promise<void> {
    await rm(this.path(WRITABLE), { recursive: true, force: true });
  }

  /**
   * Takes a socket from where the process could write to where others find it.
   * @throws Error if it is no socket
   */
  async publish(socket: string): Promise<void> {
    await publishSocket(this.absolute, socket);
    await this.#offer(socket);
  }

  /** Nobody finds this socket any more, until `show`; connections to it stay. */
  async hide(socket: string): Promise<void> {
    await this.#run.offered?.withdraw(this.inRun(socket));
    await rename(this.path(socket), this.path(`${socket}.hidden`)).catch(ignoreAbsent);
  }

  async show(socket: string): Promise<void> {
    await rename(this.path(`${socket}.hidden`), this.path(socket)).catch(ignoreAbsent);
    await this.#offer(socket);
  }

  async remove(): Promise<void> {
    await this.#run.offered?.withdraw(this.relative);
    await rm(this.absolute, { recursive: true, force: true });
  }

  /** To the ingress, where it has a user of its own and may not enter this folder. */
  async #offer(socket: string): Promise<void> {
    if (socket === MAIN || socket === PROBE) await this.#run.offered?.offer(this.inRun(socket));
  }

  async #orRemove(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  async #make(): Promise<void> {
    await mkdir(this.absolute, { mode: 0o700 });
    await mkdir(this.path(EMPTY), { mode: 0o755 });
  }
}

/** As `GenerationFolder.publish`, in any folder that is made like one. */
export async function publishSocket(folder: string, socket: string): Promise<void> {
  const found = join(folder, `${socket}.new`);
  // Neither follows links.
  await rename(join(folder, unready(socket)), found);
  if (!(await lstat(found)).isSocket()) throw new Error(`${socket} is not a socket`);
  await chmod(found, 0o666);
  await rename(found, join(folder, socket));
}

/** Where a process listens until it has answered its probe, relative to the folder. */
export function unready(socket: string): string {
  return `${WRITABLE}/${socket}`;
}

/**
 * Sockets. workerd binds them before it evaluates the modules: they are moved to where clients find
 * them when it has answered a probe, so that nobody loses a request to a Worker that does not start.
 */
export const MAIN = "main";
export const PROBE = "probe";

/** What the process may write to. */
export const WRITABLE = "o";

/** The files that the version serves. */
export const ASSETS = "a";

/** An empty folder in it. */
export const EMPTY = "empty";

/**
 * Does it fetch the keys of Access, from the host that it answers for itself? One that opens sockets
 * does not get what helps it to: `connect()` does not go through it.
 */
function asksForKeys(version: RunnableVersion): boolean {
  const { bindings } = version;
  const isNamed = bindings.some(
    (binding) => binding.type === "plain_text" && binding.text.includes(ACCESS_KEYS),
  );
  return (isNamed || isIn(version, ACCESS_KEYS)) && !opensSockets(version);
}

/** The process has just ended, or listens nowhere yet. */
function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

function opensSockets(version: RunnableVersion): boolean {
  return isIn(version, "cloudflare:sockets");
}

function isIn({ modules }: RunnableVersion, text: string): boolean {
  return modules.some(
    ({ type, content }) => type !== "sourcemap" && Buffer.from(content).includes(text),
  );
}

function rank(module: StoredModule, version: WorkerVersion): number {
  return module.name === version.mainModule ? 0 : 1;
}
