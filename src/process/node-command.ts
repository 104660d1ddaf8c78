import { FORWARDER_FLAGS } from "./node-flags.ts";
import { asUser, type ProcessUser } from "./walls/process-users.ts";

/**
 * The command line of a Node process of ours, before its module.
 * @param user Null: that of this process
 */
export function nodeCommand(
  flags: readonly string[],
  user: ProcessUser | null,
): readonly [string, ...string[]] {
  // No debugger can be switched on from outside.
  const node = [process.execPath, "--disable-sigusr1", ...FORWARDER_FLAGS, ...flags] as const;
  if (process.platform === "win32") return [...node];
  // A core dump would write keys to disk. Node has no way to set a limit; every shell has.
  return ["/bin/sh", "-c", 'ulimit -c 0; exec "$0" "$@"', ...asUser(user, node)];
}
