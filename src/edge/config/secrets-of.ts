import type { SecretEnvironment } from "../../process/secret-environment.ts";
import { Failure } from "../../failures/failures.ts";
import { secretPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { type LaidOutVersion, secretVariable } from "./workerd-config.ts";

/**
 * What a Worker's process finds its secrets in.
 * @throws Failure `worker_start_failed`; what was opened is overwritten then
 */
export function secretsOf(version: LaidOutVersion, keyring: Keyring): SecretEnvironment {
  const environment: [string, Buffer][] = [];
  const { scriptName, bindings } = version;
  for (const binding of bindings) {
    if (binding.type !== "secret_text") continue;
    // From where it stands, not from the record: one that was moved here does not open.
    const place = secretPlace({ ...version, name: binding.name });
    const secret = keyring.unsealBytes(place, binding.sealed);
    environment.push([secretVariable(version, binding.name), secret]);
    if (secret.includes(0)) {
      for (const [, opened] of environment) opened.fill(0);
      throw new Failure("worker_start_failed", {
        message: `the secret "${binding.name}" of the Worker "${scriptName}" contains a NUL character, which an environment cannot hold`,
      });
    }
  }
  return environment;
}
