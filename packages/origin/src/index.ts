export { Authorizer, isRefusal, refusalBody } from "./authorizer.ts";
export type {
  AuthorizerOptions,
  DecisionCount,
  DecisionMade,
  PolicySource,
  Proof,
  Refusal,
} from "./authorizer.ts";
export { callerFacts } from "./caller.ts";
export type { Caller, CallerCertificate, CallerFacts } from "./caller.ts";
export { decide } from "./decide.ts";
export type { Action, Decision, RefusalCode } from "./decide.ts";
export { encodeSegment, readSpiffeId, readWorkerSpiffeId, workerSpiffeId } from "./identity.ts";
export type { WorkerIdentity } from "./identity.ts";
export { parsePolicy, PolicyError } from "./policy.ts";
export type { Policy, Rule } from "./policy.ts";
export { RevokedSerials } from "./revocations.ts";
export { Trust } from "./trust.ts";
export type { TrustState } from "./trust.ts";
