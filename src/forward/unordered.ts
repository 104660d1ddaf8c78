/** What knows its place among others. */
export interface Placed {
  index: number;
}

/**
 * Entries that come and go with each request, in no order.
 *
 * An array, and not a Map: V8 replaces the table of a Map again and again while entries come and
 * go, all in its old generation once the Map is there, and each dead table keeps the requests that
 * it had until the whole heap is collected. See decisions/0108-garbage-of-requests.md.
 */
export class Unordered<T extends Placed> {
  readonly #all: T[] = [];

  get all(): readonly T[] {
    return this.#all;
  }

  add(entry: T): void {
    entry.index = this.#all.length;
    this.#all.push(entry);
  }

  /** The last one takes its place. Nothing happens the second time. */
  remove(entry: T): void {
    if (this.#all[entry.index] !== entry) return;
    const last = this.#all.pop()!;
    if (last === entry) return;
    last.index = entry.index;
    this.#all[entry.index] = last;
  }
}
