import type { ControlContext } from "../api/context.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { accessApplicationEndpoints } from "./access-applications.ts";
import { applicationPolicyEndpoints } from "./application-policies.ts";
import { accessAuthorityEndpoints } from "./access-authorities.ts";
import { accessKeyEndpoints } from "./access-keys.ts";
import { accessPolicyEndpoints } from "./access-policies.ts";
import { serviceTokenEndpoints } from "./service-tokens.ts";

/** Access: who may reach a host. */
export function accessEndpoints(context: ControlContext): readonly Endpoint[] {
  return [
    ...serviceTokenEndpoints(context),
    ...accessPolicyEndpoints(context),
    ...accessApplicationEndpoints(context),
    ...applicationPolicyEndpoints(context),
    ...accessAuthorityEndpoints(context),
    ...accessKeyEndpoints(context),
  ];
}
