export { authorize, follow, followTrust, secureServerOptions } from "./node.ts";
export type {
  AuthorizedRequest,
  AuthorizeOptions,
  Guard,
  ProofOptions,
  ProxyOptions,
} from "./node.ts";
