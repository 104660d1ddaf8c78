import type { Observability } from "../../contract/worker-log.ts";
import type { ScriptRow } from "../schema.ts";

/** What the settings of a script say of keeping its calls, as in the Wrangler configuration. */
export function observabilityOf({
  settings,
}: Pick<ScriptRow, "settings">): { readonly observability: Observability } | undefined {
  const { observability } = settings as { observability?: Sent | null };
  const { logs } = observability ?? {};
  const isEnabled = logs?.enabled ?? observability?.enabled ?? false;
  if (isEnabled !== true || logs?.persist === false) return undefined;
  const rate = logs?.head_sampling_rate ?? observability?.head_sampling_rate ?? 1;
  const samplingRate = typeof rate === "number" ? Math.min(Math.max(rate, 0), 1) : 1;
  return { observability: { samplingRate, everyCall: logs?.invocation_logs !== false } };
}

/** None of it is checked: it is kept as it was sent. */
interface Sent {
  readonly enabled?: unknown;
  readonly head_sampling_rate?: unknown;
  readonly logs?: {
    readonly enabled?: unknown;
    readonly head_sampling_rate?: unknown;
    readonly invocation_logs?: unknown;
    readonly persist?: unknown;
  } | null;
}
