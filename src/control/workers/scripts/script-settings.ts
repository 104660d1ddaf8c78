import { z } from "@hono/zod-openapi";
import { anyJson, fieldsOf } from "../../api/bounds.ts";
import type { ScriptKey } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import { Refusals } from "../refusals.ts";
import { environmentOf } from "../../../identity/environment.ts";
import type { ScriptRow } from "../../../store/schema.ts";
import type { Write } from "../../../store/store.ts";

/** Settings of a script, not of its versions. They are stored, and none of them changes how the script runs. */
export const scriptSettings: z.ZodObject<{
  tags: z.ZodOptional<z.ZodNullable<z.ZodArray<z.ZodString>>>;
  logpush: z.ZodOptional<z.ZodNullable<z.ZodBoolean>>;
  observability: z.ZodOptional<z.ZodNullable<z.ZodRecord<z.ZodString, z.ZodUnknown>>>;
  tail_consumers: z.ZodOptional<z.ZodNullable<z.ZodArray<z.ZodUnknown>>>;
}> = z.object({
  tags: z.array(z.string().max(1024)).max(100).nullish(),
  logpush: z.boolean().nullish(),
  observability: fieldsOf(anyJson(10_000), 100).nullish(),
  tail_consumers: z.array(anyJson(10_000)).max(100).nullish(),
});

export type ScriptSettings = z.output<typeof scriptSettings>;

/** @throws Failure `feature_unsupported` for settings that are not implemented */
export function assertScriptSettings({ tail_consumers, logpush }: ScriptSettings): void {
  const refusals = new Refusals();
  if (tail_consumers?.length) {
    refusals.add(
      unsupported("tail consumers", "Remove `tail_consumers`, and read `countersign logs`."),
    );
  }
  if (logpush) {
    refusals.add(unsupported("Logpush", "Set `logpush` to false, and read `countersign logs`."));
  }
  refusals.throw();
}

function unsupported(feature: string, fix?: string): Failure {
  return new Failure("feature_unsupported", {
    message: `${feature} (of the Worker's settings) is not something that Countersign has`,
    facts: { features: [feature] },
    ...(fix && { fix }),
  });
}

/** The settings that were given. */
export function givenSettings(given: ScriptSettings): ScriptSettings {
  const { tags, logpush, observability, tail_consumers } = given;
  const all = { tags, logpush, observability, tail_consumers };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** All settings, as the API shows them: clients expect every field. */
export function settingsOf({ settings }: Pick<ScriptRow, "settings">): ScriptSettings {
  const stored = settings as ScriptSettings;
  return {
    tags: stored.tags ?? [],
    logpush: stored.logpush ?? false,
    tail_consumers: stored.tail_consumers ?? [],
    // Terraform would take a field that nobody set for a difference.
    ...(stored.observability && { observability: stored.observability }),
  };
}

/** Tells the edge that a Worker's identity may have another name now, if the stored settings say so. */
export async function tellEnvironment(
  { changed }: Pick<Write, "changed">,
  key: ScriptKey,
  before: Pick<ScriptRow, "settings">,
  after: Pick<ScriptRow, "settings">,
): Promise<void> {
  if (environmentOf(before) === environmentOf(after)) return;
  await changed({ kind: "identity", accountId: key.accountId, scriptName: key.scriptName });
}

/** The stored settings, with some of them changed. */
export function withSettings(
  { settings }: Pick<ScriptRow, "settings">,
  changed: ScriptSettings,
): ScriptRow["settings"] {
  return { ...settings, ...changed };
}
