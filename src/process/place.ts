/** Which of how many processes that do the same. */
export interface Place {
  readonly index: number;
  readonly count: number;
}

/** What one of several processes gets of a limit: all of them together have just as much. */
export function shareOf(limit: number, { index, count }: Place): number {
  return Math.floor((limit + index) / count);
}

/** The same where a process with nothing could not go on: one at least, so that all may have as many as they are. */
export function someOf(limit: number, place: Place): number {
  return Math.max(1, shareOf(limit, place));
}
