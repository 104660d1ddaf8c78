import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Platform } from "../platform/platform-options.ts";

/** Catches uncaught exceptions until it is disposed of. */
export class Uncaught implements Disposable {
  /** Resolves at the first uncaught exception. */
  readonly first: Promise<void>;
  readonly #stop: () => void;

  constructor(log: Logger) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.first = promise;
    const caught = (error: Error): void => {
      log.fatal({ err: error }, "an exception that nothing catches: the platform is replaced");
      resolve();
    };
    process.on("uncaughtException", caught);
    this.#stop = () => process.off("uncaughtException", caught);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}

/**
 * After an uncaught exception: ends the platform, then replaces this process by a new one with the same process id. A
 * process that was started only moments ago exits with status 1 instead; its service manager decides what to do next.
 */
export async function replacePlatform(platform: Platform, env: NodeJS.ProcessEnv): Promise<never> {
  await Promise.race([platform.abandon(), delay(LONGEST_END)]);
  const replacedAt = Number(env[REPLACED_AT] ?? 0);
  if (process.execve === undefined || Date.now() - replacedAt < STEADY) process.exit(1);
  const args = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, args, { ...env, [REPLACED_AT]: String(Date.now()) });
  return process.exit(1);
}

const REPLACED_AT = "COUNTERSIGN_REPLACED_AT";
/** ms */
const STEADY = 10_000;
const LONGEST_END = 20_000;
