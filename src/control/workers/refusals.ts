import { Failure } from "../../failures/failures.ts";

/** Several things of one deploy cannot be done: all of them are said, each with what to do. */
export class Refused extends Failure {
  override readonly parts: readonly Failure[];

  constructor(refusals: readonly Failure[]) {
    super("deploy_refused", {
      message: `${refusals.length} things in this deploy cannot be done: ${refusals.map(({ message }) => message).join("; ")}`,
      facts: {
        refusals: refusals.map(({ code, message, fix, facts }) => ({
          code,
          message,
          fix,
          ...facts,
        })),
      },
    });
    this.parts = refusals;
  }
}

/** Collects what is refused, so that nobody meets it one deploy after the other. */
export class Refusals {
  readonly #found: Failure[] = [];

  get found(): readonly Failure[] {
    return this.#found;
  }

  add(...failures: readonly Failure[]): void {
    for (const one of failures) {
      if (one instanceof Refused) this.add(...one.parts);
      else if (
        !this.#found.some(({ code, message }) => code === one.code && message === one.message)
      )
        this.#found.push(one);
    }
  }

  /** What `work` makes; undefined if it is refused. Other errors are thrown on. */
  try<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#take(error);
      return undefined;
    }
  }

  async tryLater(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#take(error);
    }
  }

  /** @throws the one failure, or `Refused` for more */
  throw(): void {
    const [first, second] = this.#found;
    if (second !== undefined) throw new Refused(this.#found);
    if (first !== undefined) throw first;
  }

  #take(error: unknown): void {
    if (!(error instanceof Failure)) throw error;
    this.add(error);
  }
}
