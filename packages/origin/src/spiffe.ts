export { uriNames } from "./certificate.ts";
export { matchesPattern } from "./decide.ts";
export { readSpiffeId } from "./identity.ts";
