/** One string for something of an account, to find it by: no two things have the same. */
export function keyIn(accountId: string, ...names: readonly (string | null)[]): string {
  return JSON.stringify([accountId, ...names]);
}
