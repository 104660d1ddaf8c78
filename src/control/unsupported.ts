import { Failure } from "../failures/failures.ts";
import { endpoint, type Endpoint } from "./api/endpoint.ts";

/** What wrangler asks for and Countersign does not have: said clearly, never pretended. */
export function unsupportedEndpoints(): readonly Endpoint[] {
  const script = "/accounts/{account_id}/workers/scripts/{script_name}";
  return [
    endpoint(
      {
        method: "post",
        path: `${script}/assets-upload-session`,
        summary: "Static assets: refused",
        scope: "workers_scripts:write",
      },
      () => {
        throw refused("static assets");
      },
    ),
  ];
}

function refused(feature: string): Failure {
  return new Failure("feature_unsupported", {
    message: `${feature} are a feature that Countersign does not have`,
    facts: { features: [feature] },
  });
}
