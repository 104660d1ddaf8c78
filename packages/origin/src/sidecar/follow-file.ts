import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** How often files are read again, ms. This also notices renamed files and moved links. */
const EVERY = 300;

export interface FollowFilesOptions {
  readonly files: readonly string[];
  /** Uses the new texts of the files. @throws if they cannot be used: the previous ones stay in force */
  readonly take: (texts: string[]) => void;
  /** Called once for each new reason why a change was not accepted. */
  readonly log: (message: string) => void;
}

/**
 * Reads files now, and again whenever one changes: all of them are accepted, or none.
 * @returns a function that stops it
 * @throws what reading and `take` throw, the first time
 */
export async function followFiles({ files, take, log }: FollowFilesOptions): Promise<() => void> {
  const read = (): Promise<string[]> => Promise.all(files.map(textOf));
  const first = await read();
  take(first);
  let known = JSON.stringify(first);
  let said = "";
  let isReading = false;
  const say = (error: unknown): void => {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason !== said) {
      log(`${files.join(", ")}: not taken over, what was in force stays: ${reason}`);
    }
    said = reason;
  };
  const look = async (): Promise<void> => {
    try {
      const texts = await read();
      const now = JSON.stringify(texts);
      if (now === known) return;
      take(texts);
      known = now;
      said = "";
    } catch (error) {
      say(error);
    }
  };
  const timer = setInterval(() => {
    if (isReading) return;
    isReading = true;
    void look().finally(() => (isReading = false));
  }, EVERY);
  return () => clearInterval(timer);
}

/** A named pipe would be waited for until somebody writes into it, and all files with it. */
async function textOf(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (!(await file.stat()).isFile()) throw new Error(`"${path}" is no file`);
  return await file.readFile("utf8");
}
