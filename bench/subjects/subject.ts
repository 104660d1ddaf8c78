import type { Lab } from "../lab.ts";
import type { Material } from "../material.ts";
import type { Origin } from "../origin.ts";

/** One way from a client to the origin. */
export interface Subject {
  readonly name: string;
  /** A short description. */
  readonly what: string;
  /** @throws NotInstalled */
  start(surroundings: Surroundings): Promise<RunningSubject>;
}

export interface RunningSubject {
  /** `http://127.0.0.1:PORT`; the origin's paths are appended. */
  readonly base: string;
  /** The `Host` to send. Default: that of `base`. */
  readonly host?: string;
  /** The Unix socket of its forwarding process, if requests can go there without the Worker. */
  readonly socket?: string;
  /** Its processes: role → id of the root of its process tree. */
  readonly processes: Readonly<Record<string, number>>;
  /** Whether it sends `/resumed/…` to the origin's port that resumes sessions. */
  readonly resumes?: boolean;
  /** Ends what the lab does not end. */
  readonly stop?: () => Promise<void>;
}

export interface Surroundings {
  readonly lab: Lab;
  readonly material: Material;
  readonly origin: Origin;
}

/** A subject that cannot be measured here, with the reason. */
export class NotInstalled extends Error {
  override readonly name = "NotInstalled";
}
