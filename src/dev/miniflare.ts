/** `countersign/miniflare`: mTLS bindings and databases for Miniflare. */
export { mtls, mtlsDatabase, mtlsOrigin } from "./mtls.ts";
export type {
  Mtls,
  MtlsBindingOptions,
  MtlsDatabaseOptions,
  MtlsFailure,
  MtlsOptions,
  MtlsOriginOptions,
} from "./mtls.ts";
export type { DevDatabase } from "./database.ts";
export type { DevOrigin, OriginFaults } from "./origin.ts";
export type { SeenCertificate, SeenRequest } from "./seen.ts";
