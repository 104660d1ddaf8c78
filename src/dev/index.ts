/** `countersign/dev`: local development, as a library. */
export { startDevOrigin } from "./origin.ts";
export type { DevOrigin, DevOriginOptions, OriginFaults } from "./origin.ts";
export { openAuthority } from "./authority.ts";
export type { DevAuthority } from "./authority.ts";
export type { IssueRequest, KeyPair } from "./issue.ts";
export { startDevSession } from "./session.ts";
export type { DevSession, DevSessionOptions } from "./session.ts";
export type { CertificateFiles, FromPlatform, PlatformBinding } from "./certificates.ts";
export type { DevFlags } from "./wrangler/start-input.ts";
export type { SeenCertificate, SeenRequest } from "./seen.ts";
export type { DevServer } from "./wrangler/wrangler.ts";
