import type { EmbeddedType, WorkerBinding, WorkerModule } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";

/**
 * The parts of a Worker in service-worker format (`addEventListener`): one is the script, the others are embedded by
 * its bindings.
 * @param bodyPart the name of the script's part, from `metadata.body_part`
 * @throws Failure `service_worker_invalid`, `main_module_missing`
 */
export function serviceWorkerParts(
  bodyPart: string,
  modules: readonly WorkerModule[],
): WorkerModule[] {
  const script = modules.find(({ name }) => name === bodyPart);
  if (script === undefined) {
    throw new Failure("main_module_missing", {
      message: `the part "${bodyPart.slice(0, 200)}" is not among the ${modules.length} that were uploaded`,
    });
  }
  const module = modules.find((one) => one !== script && ["esm", "commonjs"].includes(one.type));
  if (script.type !== "commonjs" || module !== undefined) {
    throw new Failure("service_worker_invalid", {
      message: `the part "${(module ?? script).name.slice(0, 200)}" is a module, and a Worker in service-worker format is one script`,
    });
  }
  return modules.map((one) => (one === script ? { ...one, type: "script" } : one));
}

/**
 * Parts that bindings embed must exist, also for bindings that were carried over from an earlier version.
 * @throws Failure `service_worker_invalid`
 */
export function assertEmbedded({ bindings, modules }: Embedding): void {
  const isScript = modules.some(({ type }) => type === "script");
  for (const binding of bindings) {
    if (!isEmbedded(binding)) continue;
    const { name, type, part } = binding;
    if (isScript && modules.some((one) => one.name === part && one.type !== "script")) continue;
    const why = isScript
      ? `and its part "${part.slice(0, 200)}" was not uploaded`
      : "and ES modules import what they embed";
    throw new Failure("service_worker_invalid", {
      message: `binding "${name}" is a ${type}, ${why}`,
      facts: { binding: name },
    });
  }
}

interface Embedding {
  readonly bindings: readonly WorkerBinding[];
  readonly modules: readonly WorkerModule[];
}

function isEmbedded(binding: WorkerBinding): binding is WorkerBinding & { type: EmbeddedType } {
  return EMBEDDED.includes(binding.type);
}

/** Bindings to a part of the upload. This format has them instead of imports. */
const EMBEDDED: readonly string[] = [
  "text_blob",
  "data_blob",
  "wasm_module",
] satisfies EmbeddedType[];
