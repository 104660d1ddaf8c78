import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { readCron } from "./cron/expression.ts";
import { Refusals } from "./refusals.ts";
import {
  type Migrations,
  pendingMigrations,
  projectMigrations,
  type TaggedMigration,
} from "./migrations.ts";
import { workflowFieldRefusal } from "./workflows/workflows.ts";
import { featureRefusal } from "./scripts/script-metadata.ts";

/** Parts of a Wrangler configuration that wrangler sends only once the upload is live, or not with a dry run. */
interface ProjectConfiguration {
  readonly crons?: readonly string[] | undefined;
  readonly assets?: boolean | undefined;
  readonly migrations?: readonly TaggedMigration[] | undefined;
  readonly containers?: number | undefined;
  /** Names of fields of `workflows` that wrangler sends after the upload. */
  readonly workflowFields?: readonly string[] | undefined;
}

const configuration: z.ZodType<ProjectConfiguration> = z.object({
  crons: z.array(z.string().max(1000)).max(1000).optional(),
  assets: z.boolean().optional(),
  migrations: projectMigrations.optional(),
  containers: z.number().optional(),
  workflowFields: z.array(z.string().max(255)).max(100).optional(),
});

/** Refusals that would otherwise come only after the upload. */
export function configurationRefusals(sent: File | string | null): readonly Failure[] {
  if (typeof sent !== "string") return [];
  const given = read(sent);
  const features = {
    containers: given.containers,
  };
  const wrong = new Refusals();
  for (const cron of given.crons ?? []) wrong.try(() => readCron(cron));
  for (const [name, used] of Object.entries(features)) if (used) wrong.add(featureRefusal(name));
  for (const field of given.workflowFields ?? []) {
    if (!WORKFLOW_FIELDS.has(field)) wrong.add(workflowFieldRefusal(field));
  }
  return wrong.found;
}

/** The known fields; `name` to `script_name` are in the binding. */
const WORKFLOW_FIELDS: ReadonlySet<string> = new Set([
  "name",
  "binding",
  "class_name",
  "script_name",
  "limits",
  "default_retention",
]);

/** Whether the project has assets. A dry run uploads no files, so the project's configuration says so. */
export function announcesAssets(sent: File | string | null): boolean {
  return typeof sent === "string" && read(sent).assets === true;
}

/** The migrations that wrangler would send. It sends none with a dry run. */
export function configuredMigrations(
  sent: File | string | null,
  tag: string | null | undefined,
): { readonly migrations?: Migrations } {
  if (typeof sent !== "string") return {};
  return pendingMigrations(read(sent).migrations ?? [], tag ?? null);
}

function read(text: string): ProjectConfiguration {
  try {
    return configuration.parse(JSON.parse(text));
  } catch (cause) {
    throw new Failure("request_invalid", {
      message: "the configuration is not as it is read",
      cause,
    });
  }
}
