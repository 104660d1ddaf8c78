import type { WorkerBinding, WorkerModule } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import type { VersionSettings } from "../../../store/schema.ts";
import type { Migrations } from "../migrations.ts";
import type { Refusals } from "../refusals.ts";
import { hasNone } from "./handlers.ts";
import type { ScriptSettings } from "./script-settings.ts";

/** The content of a new version. */
export interface Draft {
  readonly mainModule: string;
  readonly modules: readonly WorkerModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly WorkerBinding[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly settings: VersionSettings;
  /** Settings of the script itself that change with the version. Default: none. */
  readonly scriptSettings?: ScriptSettings;
  /** Migrations of its Durable Objects' classes. Default: none. */
  readonly migrations?: Migrations;
  /** Refusals so far, reported together with later ones. Default: none. */
  readonly refusals?: Refusals;
}

/** Whether it neither handles an event nor serves a file. */
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
