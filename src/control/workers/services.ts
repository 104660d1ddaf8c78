import { Failure } from "../../failures/failures.ts";
import { findScript } from "../../store/workers/scripts.ts";
import { newestVersion } from "../../store/workers/versions.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { keyOf } from "./lookup.ts";
import type { Publisher } from "./publisher.ts";
import { shownScript } from "./scripts/script-shown.ts";
import { deleteScriptEndpoint } from "./scripts/scripts.ts";

/** Scripts under Cloudflare's older name, which wrangler uses first, and for deletions. */
export function serviceEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store } = context;
  const path = "/accounts/{account_id}/workers/services/{script_name}";
  return [
    endpoint(
      { method: "get", path, summary: "A script as a service", scope: "workers_scripts:read" },
      async (call) => {
        const key = keyOf(call);
        const script = await findScript(store.db, key);
        if (!script) {
          throw new Failure("service_not_found", {
            message: `the Worker "${key.scriptName}" does not exist on your account`,
          });
        }
        const environment = {
          environment: "production",
          created_on: script.createdOn,
          modified_on: script.modifiedOn,
          script: shownScript(script, await newestVersion(store.db, script.id)),
        };
        return {
          result: {
            id: script.name,
            created_on: script.createdOn,
            modified_on: script.modifiedOn,
            default_environment: environment,
            environments: [environment],
          },
        };
      },
    ),
    deleteScriptEndpoint(context, publisher, path),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/workers/tails/by-consumer/{script_name}",
        summary: "Tail producers: Countersign has none",
        scope: "workers_scripts:read",
      },
      () => ({ result: [] }),
    ),
  ];
}
