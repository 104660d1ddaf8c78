export { uriNames } from "./certificate.ts";
export { matchesPattern } from "./wildcards.ts";
export { readSpiffeId } from "./identity.ts";
