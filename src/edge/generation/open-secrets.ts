import { Failure } from "../../failures/failures.ts";
import { secretPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { SecretEnvironment } from "../../process/secret-environment.ts";
import { type LaidOutVersion, secretVariable } from "../config/workerd-config.ts";

/**
 * The secrets of a version in clear, as its process takes them: the caller wipes them.
 *
 * @throws Failure `worker_start_failed` for one that an environment cannot hold: all are wiped
 */
export function openSecrets(version: LaidOutVersion, keyring: Keyring): SecretEnvironment {
  const environment: [string, Buffer][] = [];
  for (const binding of version.bindings) {
    if (binding.type !== "secret_text") continue;
    // From where it stands, not from the record: one that was moved here does not open.
    const place = secretPlace({ ...version, name: binding.name });
    const secret = keyring.unsealBytes(place, binding.sealed);
    environment.push([secretVariable(version, binding.name), secret]);
    if (secret.includes(0)) {
      for (const [, opened] of environment) opened.fill(0);
      throw new Failure("worker_start_failed", {
        message: `the secret "${binding.name}" of the Worker "${version.scriptName}" contains a NUL character, which an environment cannot hold`,
      });
    }
  }
  return environment;
}
