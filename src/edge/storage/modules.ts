import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CapnpValue } from "../config/capnp.ts";

const assets = fileURLToPath(new URL("../../../assets/storage/", import.meta.url));

/** Puts modules that ship with the package into `folder`, where a configuration embeds them. */
export async function layOut(folder: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const to = join(folder, MODULES, file);
    await mkdir(dirname(to), { recursive: true, mode: 0o755 });
    await copyFile(join(assets, file), to);
  }
}

const MODULES = "storage";

export function embedded(file: string): CapnpValue {
  return { embed: `${MODULES}/${file}` };
}

/** A module that ships with the package, under the name by which others import it. */
export function module(file: string, name: string = file): CapnpValue {
  return { name, esModule: embedded(file) };
}

/** A module that is part of workerd. */
export function bundled(name: string): CapnpValue {
  return { name: `routers/bundled/${name}`, bundled: `/workerd/${name}` };
}
