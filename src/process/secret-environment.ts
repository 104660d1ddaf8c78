import type { Writable } from "node:stream";
import { SECRETS_FD } from "./walls/sandbox-kinds.ts";

/** Variables of a program, by names of letters, digits and `_`. The caller wipes them. */
export type SecretEnvironment = readonly (readonly [name: string, value: Buffer])[];

/**
 * `child_process` takes an environment as strings, which nothing wipes. So a shell reads it from a pipe,
 * and becomes the program: its own memory goes with that.
 */
export function withSecrets(
  secrets: SecretEnvironment,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  if (secrets.length === 0) return command;
  return ["/bin/sh", "-c", BECOME, "sh", ...command];
}

// `cat` ends with the pipe, before the program starts.
const BECOME = `eval "$(cat <&${SECRETS_FD})" && exec ${SECRETS_FD}<&- "$@"`;

/** Writes what the shell evaluates, and wipes it and the secrets. */
export function tellSecrets(pipe: Writable, secrets: SecretEnvironment): void {
  const script = Buffer.concat(secrets.flatMap(([name, value]) => exported(name, value)));
  for (const [, value] of secrets) value.fill(0);
  pipe.end(script, () => script.fill(0));
}

const QUOTE = 0x27;

/** In single quotes a shell takes every byte as it is, but for the quote itself. */
function exported(name: string, value: Buffer): readonly Uint8Array[] {
  const parts: Uint8Array[] = [Buffer.from(`export ${name}='`)];
  let at = 0;
  for (let quote = value.indexOf(QUOTE); quote !== -1; quote = value.indexOf(QUOTE, at)) {
    parts.push(value.subarray(at, quote), Buffer.from(`'\\''`));
    at = quote + 1;
  }
  parts.push(value.subarray(at), Buffer.from(`'\n`));
  return parts;
}
