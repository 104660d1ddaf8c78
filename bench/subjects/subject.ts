import type { Lab } from "../lab.ts";
import type { Material } from "../material.ts";
import type { Origin } from "../origin.ts";

/** One way from a client to the origin. */
export interface Subject {
  readonly name: string;
  /** What it is, in half a line. */
  readonly what: string;
  /** @throws NotInstalled */
  start(surroundings: Surroundings): Promise<RunningSubject>;
}

export interface RunningSubject {
  /** `http://127.0.0.1:PORT`: takes the origin's paths. */
  readonly base: string;
  /** The `Host` to send. Default: that of `base`. */
  readonly host?: string;
  /** The Unix socket of its forwarding process, where that can be asked without the Worker. */
  readonly socket?: string;
  /** Its processes: what each does → the id of the one at the root. */
  readonly processes: Readonly<Record<string, number>>;
  /** It takes `/resumed/…` to the origin's port where sessions are resumed. */
  readonly resumes?: boolean;
  /** For what the lab does not end. */
  readonly stop?: () => Promise<void>;
}

export interface Surroundings {
  readonly lab: Lab;
  readonly material: Material;
  readonly origin: Origin;
}

/** A peer that cannot be measured here, and why. */
export class NotInstalled extends Error {
  override readonly name = "NotInstalled";
}
