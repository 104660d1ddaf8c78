import type { WorkerBinding, WorkerModule } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import type { VersionSettings } from "../../../store/schema.ts";
import type { Migrations } from "../migrations.ts";
import type { Refusals } from "../refusals.ts";
import { hasNone } from "./handlers.ts";
import type { ScriptSettings } from "./script-settings.ts";

/** What a new version is made of. */
export interface Draft {
  readonly mainModule: string;
  readonly modules: readonly WorkerModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly WorkerBinding[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly settings: VersionSettings;
  /** The script's own settings that change with it. Default: none. */
  readonly scriptSettings?: ScriptSettings;
  /** Of the classes of its Durable Objects. Default: none. */
  readonly migrations?: Migrations;
  /** What of it cannot be done: refused together with what is found later. Default: nothing. */
  readonly refusals?: Refusals;
}

/** Neither handles an event nor serves a file. */
export function doesNothing(settings: VersionSettings): boolean {
  return hasNone(settings) && settings.assets === undefined;
}

/** @throws Failure `assets_missing` */
export function assertAssets({ bindings, settings }: Draft): void {
  const binding = bindings.find(({ type }) => type === "assets");
  if (binding === undefined || settings.assets !== undefined) return;
  throw new Failure("assets_missing", {
    message: `the binding "${binding.name}" (assets) has nothing to serve: the version has no static assets`,
    facts: { binding: binding.name },
  });
}
