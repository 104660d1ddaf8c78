import type { WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { MOST_TEXT_BYTES } from "../../keys/secret-texts.ts";
import { mostBindings } from "./requested-bindings.ts";

/** Checks how much the bindings of a version are together. @throws Failure `too_many_parts`, `secrets_too_large` */
export function assertShares(bindings: readonly WorkerBinding[]): void {
  if (bindings.length > mostBindings) {
    throw new Failure("too_many_parts", {
      message: `the version would have ${bindings.length} bindings, more than ${mostBindings}`,
      facts: { limit: mostBindings },
    });
  }
  const bytes = bindings.reduce((sum, one) => sum + sealedBytes(one), 0);
  if (bytes <= MOST_TEXT_BYTES) return;
  throw new Failure("secrets_too_large", {
    message: `the secrets of the version would have ${bytes} bytes together, more than ${MOST_TEXT_BYTES}`,
    facts: { limitBytes: MOST_TEXT_BYTES },
  });
}

/** A sealed text is base64, and little longer than the text. */
function sealedBytes(binding: WorkerBinding): number {
  return binding.type === "secret_text" ? Math.floor((binding.sealed.length * 3) / 4) : 0;
}
