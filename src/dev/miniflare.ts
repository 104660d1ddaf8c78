/** `countersign/miniflare`: mTLS bindings for Miniflare's `serviceBindings`. */
export { mtls, mtlsOrigin } from "./mtls.ts";
export type {
  Mtls,
  MtlsBindingOptions,
  MtlsFailure,
  MtlsOptions,
  MtlsOriginOptions,
} from "./mtls.ts";
export type { DevOrigin, OriginFaults } from "./origin.ts";
export type { SeenCertificate, SeenRequest } from "./seen.ts";
