export { follow } from "../follow.ts";
export { parsePolicy } from "../policy.ts";
export type { Policy, Rule } from "../policy.ts";
export { Trust } from "../trust.ts";
export { parseAuthorities } from "./authorities.ts";
export { followFiles } from "./follow-file.ts";
export type { FollowFilesOptions } from "./follow-file.ts";
export { startSidecar } from "./sidecar.ts";
export type { Destination, KeyPair, Sidecar, SidecarOptions } from "./sidecar.ts";
