import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import { readSmallFile } from "../certificates/pair-files.ts";
import { Failure } from "../failures/failures.ts";

/** A certificate with its chain, and its key: PEM files that another program may renew. */
export interface PairFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** The certificate that a listener presents now, and those that replace it later. */
export interface PairSource extends Disposable {
  readonly current: Pair;
  /** Calls `renewed` with each pair that replaces the previous one. */
  renews(renewed: (pair: Pair) => void): void;
}

/** ms between two looks at the files. Watching is not enough: it misses files that are moved into place. */
const LOOK_EVERY = 2000;

/** The pair of files that the API presents. A broken or half-written pair never replaces a good one. */
export class ServedPair implements PairSource {
  readonly #files: PairFiles;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #current: Pair;
  #refused: string | null = null;
  #renewed: (pair: Pair) => void = () => {};
  #looking = false;

  private constructor(files: PairFiles, log: Logger, current: Pair) {
    this.#files = files;
    this.#log = log;
    this.#current = current;
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY).unref();
  }

  /** @throws Failure `api_certificate_unusable` */
  static async open(files: PairFiles, log: Logger): Promise<ServedPair> {
    return new ServedPair(files, log, await readPair(files));
  }

  get current(): Pair {
    return this.#current;
  }

  renews(renewed: (pair: Pair) => void): void {
    this.#renewed = renewed;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const pair = await readPair(this.#files);
      this.#refused = null;
      if (pair.cert === this.#current.cert && pair.key === this.#current.key) return;
      this.#current = pair;
      this.#renewed(pair);
      this.#log.info({ certificate: this.#files.certificate }, "the API's certificate was renewed");
    } catch (error) {
      const { message } = error as Error;
      // Logged once for each reason, not at each look.
      if (message === this.#refused) return;
      this.#refused = message;
      this.#log.warn(`the API keeps its certificate: ${message}`);
    } finally {
      this.#looking = false;
    }
  }
}

async function readPair({ certificate, key }: PairFiles): Promise<Pair> {
  try {
    const pair = { cert: await textOf(certificate), key: await textOf(key) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new Failure("api_certificate_unusable", {
      message: `the API cannot be served with "${certificate}" and "${key}": ${(cause as Error).message}`,
      cause,
      facts: { certificate, key },
    });
  }
}

async function textOf(file: string): Promise<string> {
  return (await readSmallFile(file)).toString("utf8");
}
