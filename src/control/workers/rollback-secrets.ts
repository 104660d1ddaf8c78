import { createHmac, randomBytes } from "node:crypto";
import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { secretPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";

interface Version {
  readonly id: string;
  readonly bindings: readonly WorkerBinding[];
}

/**
 * A version runs with the secrets that it was made with, so a rollback to other secrets has to be confirmed.
 * @throws Failure `rollback_secrets_changed`, with their names at the end, where wrangler reads them
 */
export function assertSameSecrets(
  keyring: Keyring,
  key: ScriptKey,
  { from, to }: { readonly from: Version; readonly to: readonly Version[] },
): void {
  // Compared by a digest with a key of this call, so no secret stays in memory.
  const digest = randomBytes(32);
  const now = secretsOf(keyring, key, from, digest);
  const changed = new Set<string>();
  for (const version of to) {
    const then = secretsOf(keyring, key, version, digest);
    for (const name of [...now.keys(), ...then.keys()]) {
      if (now.get(name) !== then.get(name)) changed.add(name);
    }
  }
  if (changed.size === 0) return;
  const names = [...changed].toSorted();
  throw new Failure("rollback_secrets_changed", {
    message: `the version ${to[0]?.id ?? ""} has other secrets than those of now`,
    fix: `Roll back with \`wrangler rollback\`, which asks, or send \`?force=true\`. The following secrets have changed: ${names.join(", ")}`,
    facts: { secrets: names },
  });
}

function secretsOf(
  keyring: Keyring,
  key: ScriptKey,
  { id, bindings }: Version,
  digest: Buffer,
): ReadonlyMap<string, string> {
  return new Map(
    bindings.flatMap((binding) => {
      if (binding.type !== "secret_text") return [];
      const place = secretPlace({ ...key, versionId: id, name: binding.name });
      const secret = keyring.unsealBytes(place, binding.sealed);
      const hashed = createHmac("sha256", digest).update(secret).digest("hex");
      secret.fill(0);
      return [[binding.name, hashed]];
    }),
  );
}
