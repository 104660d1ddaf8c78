/** A string that identifies something of an account. Different things have different strings. */
export function keyIn(accountId: string, ...names: readonly (string | null)[]): string {
  return JSON.stringify([accountId, ...names]);
}
