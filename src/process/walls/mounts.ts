import { lchown, lstat, mkdir, readdir, readlink, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Mount } from "./sandbox-kinds.ts";

/** Makes the folders that are mounted, and those they are mounted on. Once more changes nothing. */
export async function makeMountPoints(folder: string, mounts: readonly Mount[]): Promise<void> {
  for (const mount of mounts) {
    await mkdir(mount.folder, { recursive: true, mode: 0o700 });
    await mkdir(join(folder, mount.at), { recursive: true, mode: 0o700 });
  }
}

/** The same where nothing can be mounted: symbolic links stand in. */
export async function linkMounts(folder: string, mounts: readonly Mount[]): Promise<void> {
  for (const mount of mounts) {
    const at = join(folder, mount.at);
    await mkdir(mount.folder, { recursive: true, mode: 0o700 });
    await mkdir(dirname(at), { recursive: true, mode: 0o755 });
    if ((await readlink(at).catch(() => null)) === null) await symlink(mount.folder, at);
  }
}

/**
 * The programs' data belongs to the platform's own user, even if another sandbox used other users
 * before.
 */
export async function takeBack(mounts: readonly Mount[]): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  for (const { folder } of mounts) await giveAll(folder, 0, 0);
}

/**
 * Changes the owner of a folder and of its owner's files in it, if the folder belongs to another
 * user, for example after a restore or a change of the sandbox. The folder itself is changed last,
 * so that an interrupted change is done again.
 *
 * The content may be hostile: no link is followed, and files of other owners, such as a hard link
 * to a file elsewhere, are left as they are. Nothing may write to the folder meanwhile.
 */
export async function giveAll(folder: string, user: number, group: number): Promise<void> {
  const { uid: owner } = await lstat(folder);
  if (owner === user) return;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if ((await lstat(path)).uid === owner) await lchown(path, user, group);
  }
  await lchown(folder, user, group);
}
