/**
 * Lets a bounded number of tasks run at a time, shared by owner. Each owner's first task runs at
 * once, whatever the others do: no owner waits for the tasks of another. All further ones share
 * `spare` slots, which the owners that wait get in turn.
 */
export class SharedSlots {
  #spare: number;
  readonly #owners = new Map<string, Owner>();

  /** @param spare slots besides the one that each owner has */
  constructor(spare: number) {
    this.#spare = spare;
  }

  async run<T>(ownerId: string, task: () => Promise<T>): Promise<T> {
    const owner = this.#owners.get(ownerId) ?? { running: 0, waiting: [] };
    this.#owners.set(ownerId, owner);
    if (owner.running === 0) owner.running++;
    else if (this.#spare > 0) this.#borrow(owner);
    else await new Promise<void>((resolve) => owner.waiting.push(resolve));
    try {
      return await task();
    } finally {
      this.#release(ownerId, owner);
    }
  }

  #borrow(owner: Owner): void {
    this.#spare--;
    owner.running++;
  }

  #release(ownerId: string, owner: Owner): void {
    owner.running--;
    if (owner.running === 0) {
      const next = owner.waiting.shift();
      if (next === undefined) this.#owners.delete(ownerId);
      else {
        owner.running++;
        next();
      }
      return;
    }
    this.#spare++;
    this.#lend();
  }

  /** To the owner whose turn it is: the one that was served last goes to the end. */
  #lend(): void {
    for (const [id, owner] of this.#owners) {
      const next = owner.waiting.shift();
      if (next === undefined) continue;
      this.#owners.delete(id);
      this.#owners.set(id, owner);
      this.#borrow(owner);
      next();
      return;
    }
  }
}

interface Owner {
  running: number;
  readonly waiting: (() => void)[];
}
