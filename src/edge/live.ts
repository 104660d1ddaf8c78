import { keyIn } from "../contract/key-in.ts";
import type { ScriptUpdate } from "../ingress/protocol.ts";
import type { Generation } from "./generation/generation.ts";
import type { ScriptKey, VersionPreview, WorkerBinding } from "../contract/change-feed.ts";
import { isRemote } from "./storage/remote-objects.ts";

/** ms that a request waits for a process to which objects are handed over */
const HANDOVER_PATIENCE = 15_000;

/** What runs for one script, and what leads to it. */
export interface LiveScript {
  readonly key: ScriptKey;
  readonly hosts: readonly string[];
  readonly routes: readonly string[];
  /** As of `Deployment`. */
  readonly previews?: readonly VersionPreview[];
  /** At least one. */
  readonly shares: readonly Share[];
}

interface Share {
  readonly generation: Generation;
  /** Of the traffic; they add up to 100. */
  readonly percentage: number;
}

export function scriptId({ accountId, scriptName }: ScriptKey): string {
  return keyIn(accountId, scriptName);
}

/** The generation that other Workers reach: the one with the largest share. */
export function mainGeneration(live: LiveScript): Generation {
  return live.shares.reduce((a, b) => (b.percentage > a.percentage ? b : a)).generation;
}

export function generationsOf(live: LiveScript | null | undefined): readonly Generation[] {
  return live?.shares.map(({ generation }) => generation) ?? [];
}

export function updateOf(
  { accountId, scriptName }: ScriptKey,
  live: LiveScript | null,
): ScriptUpdate {
  if (live === null) return { accountId, scriptName, entry: null };
  const { hosts, routes, shares, previews = [] } = live;
  const targets = shares.map(({ generation, percentage }) => ({
    sockets: generation.sockets,
    percentage,
    versionId: generation.version.versionId,
    // One that keeps objects runs only once the one before has ended.
    ...(generation.keepsObjects && { patience: HANDOVER_PATIENCE }),
    ...(generation.mayRest && { wakes: true as const }),
    isTraced: (generation.version.traced ?? null) !== null,
  }));
  return { accountId, scriptName, entry: { scriptName, hosts, routes, targets, previews } };
}

/** Does a Worker of this script have a binding to one of `targets` (ids), or to its objects? */
export function binds(live: LiveScript, targets: ReadonlySet<string>): boolean {
  return generationsOf(live).some((generation) => generationBinds(generation, targets));
}

export function generationBinds({ version }: Generation, targets: ReadonlySet<string>): boolean {
  const { accountId } = version;
  return version.bindings.some((binding) => {
    const scriptName = boundScript(binding);
    return scriptName !== null && targets.has(scriptId({ accountId, scriptName }));
  });
}

/** The other script that a binding leads to. */
function boundScript(binding: WorkerBinding): string | null {
  if (binding.type === "service") return binding.service;
  return isRemote(binding) ? binding.remote.scriptName : null;
}
