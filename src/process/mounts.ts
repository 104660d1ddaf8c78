import { mkdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Mount, Sandbox } from "./sandbox-kinds.ts";

/**
 * Makes the folders that are mounted, and what they are mounted on: a folder where the sandbox
 * mounts them itself, a symbolic link where there is none.
 */
export async function prepareMounts(
  { kind }: Pick<Sandbox, "kind">,
  folder: string,
  mounts: readonly Mount[],
): Promise<void> {
  for (const mount of mounts) {
    const at = join(folder, mount.at);
    await mkdir(mount.folder, { recursive: true, mode: 0o700 });
    await mkdir(kind === "bubblewrap" ? at : dirname(at), { recursive: true, mode: 0o700 });
    if (kind !== "bubblewrap") await symlink(mount.folder, at);
  }
}
