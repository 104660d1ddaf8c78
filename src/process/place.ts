/** The number of a process among several that do the same work. */
export interface ProcessPlace {
  readonly index: number;
  readonly count: number;
}

/** One process's share of a limit: the shares add up to the limit. */
export function shareOf(limit: number, { index, count }: ProcessPlace): number {
  return Math.floor((limit + index) / count);
}

/**
 * The same, but at least one, because a process with a share of zero could not work. So the total
 * may be the number of processes.
 */
export function someOf(limit: number, place: ProcessPlace): number {
  return Math.max(1, shareOf(limit, place));
}
