import { readSmallFile } from "../certificates/pair-files.ts";
import { Failure } from "../failures/failures.ts";

/**
 * Reads a file of the developer's, who may be changing it. Waits for nobody, as one would who reads a named pipe, and
 * takes no more than 64 KiB.
 * @throws Failure `dev_file_unreadable`, `upload_too_large`
 */
export async function readText(path: string): Promise<string> {
  try {
    return (await readSmallFile(path)).toString("utf8");
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== "folder_unreadable") throw error;
    const { code, message } = error.cause as NodeJS.ErrnoException;
    throw new Failure("dev_file_unreadable", {
      message: `reading "${path}" failed: ${code ?? message}`,
      facts: { file: path },
      cause: error.cause,
    });
  }
}

/** The same; null if there is no such file. */
export async function readTextIfThere(path: string): Promise<string | null> {
  try {
    return await readText(path);
  } catch (error) {
    const { cause } = error as { readonly cause?: NodeJS.ErrnoException };
    if (cause?.code === "ENOENT") return null;
    throw error;
  }
}
