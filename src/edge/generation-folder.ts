import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunDirectory } from "../process/run-directory.ts";
import type { RunnableVersion } from "./in-process.ts";
import type { WorkerVersion } from "../contract/change-feed.ts";
import type { StoredModule, LaidOutVersion } from "./workerd-config.ts";

/** The files and sockets of one generation. */
export class GenerationFolder {
  /** Relative to the run directory, as every path of a socket. */
  readonly relative: string;
  readonly #absolute: string;

  private constructor(run: RunDirectory, id: number) {
    this.relative = `g/${id}`;
    this.#absolute = run.absolute(this.relative);
  }

  /** Writes the modules down, so that their content need not stay in memory. */
  static async write(
    run: RunDirectory,
    id: number,
    version: RunnableVersion,
  ): Promise<{ folder: GenerationFolder; stored: LaidOutVersion }> {
    const folder = new GenerationFolder(run, id);
    await mkdir(folder.#absolute, { mode: 0o700 });
    const modules: StoredModule[] = [];
    const sourceMaps = new Map<string, string>();
    for (const [index, { name, type, content }] of version.modules.entries()) {
      const file = `m${index}`;
      await writeFile(folder.path(file), content, { mode: 0o600 });
      if (type === "sourcemap") sourceMaps.set(name.replace(/\.map$/, ""), file);
      else modules.push({ name, type, file });
    }
    // workerd takes the first module for the main one.
    modules.sort((a, b) => rank(a, version) - rank(b, version));
    return { folder, stored: { ...version, modules, sourceMaps } };
  }

  /** A second folder for the same version. */
  async copy(run: RunDirectory, id: number, stored: LaidOutVersion): Promise<GenerationFolder> {
    const folder = new GenerationFolder(run, id);
    await mkdir(folder.#absolute, { mode: 0o700 });
    const files = [...stored.modules.map(({ file }) => file), ...stored.sourceMaps.values()];
    for (const file of files) await copyFile(this.path(file), folder.path(file));
    return folder;
  }

  path(file: string): string {
    return join(this.#absolute, file);
  }

  async readSourceMap(stored: LaidOutVersion, moduleName: string): Promise<string | null> {
    const file = stored.sourceMaps.get(moduleName);
    return file === undefined ? null : readFile(this.path(file), "utf8");
  }

  async remove(): Promise<void> {
    await rm(this.#absolute, { recursive: true, force: true });
  }
}

function rank(module: StoredModule, version: WorkerVersion): number {
  return module.name === version.mainModule ? 0 : 1;
}
