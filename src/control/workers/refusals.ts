import { Failure } from "../../failures/failures.ts";

/** Several refusals of one deploy, each with its advice. */
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

/** Collects refusals, so that a deploy reports all of them at once. */
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

  /** Returns the result of `work`; undefined if it threw a Failure, which is collected. Other errors are thrown. */
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

  /** @throws the Failure if there is one, or `Refused` if there are several */
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
