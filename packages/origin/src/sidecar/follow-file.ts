import { readFile } from "node:fs/promises";

/** How often files are read again, ms. Renames and links that are moved are seen as well. */
const EVERY = 300;

export interface FollowFilesOptions {
  readonly files: readonly string[];
  /** Takes over what the files hold now. @throws if it cannot be used: what was in force stays */
  readonly take: (texts: string[]) => void;
  /** Told once of each new reason why a change is not taken over. */
  readonly log: (message: string) => void;
}

/**
 * Reads files now, and takes over each change of them: all of them or none.
 * @returns how to stop
 * @throws what reading and `take` throw, the first time
 */
export async function followFiles({ files, take, log }: FollowFilesOptions): Promise<() => void> {
  const read = (): Promise<string[]> => Promise.all(files.map((file) => readFile(file, "utf8")));
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
