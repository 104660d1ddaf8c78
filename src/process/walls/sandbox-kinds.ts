/** `auto`: the strongest that works here, or none. `required`: refuse to start without one. */
export type SandboxMode = "auto" | "required" | "off";

export const SANDBOX_MODES: readonly SandboxMode[] = ["auto", "required", "off"];

/** How processes that run others' code are kept apart from everything else. */
export interface Sandbox {
  readonly kind: "bubblewrap" | "user" | "privileges" | "none";
  /** What is in force, in a line. */
  readonly summary: string;
  /**
   * Makes the folder the program's, and room in it for what is mounted: before sockets are made
   * there, and before each start. Makes `o` where it is missing.
   */
  prepare(folder: string, mounts?: readonly Mount[]): Promise<void>;
  /** Before a start with `mounts`: what is in them is the program's from now on. Nobody else uses it. */
  give(folder: string, mounts: readonly Mount[]): Promise<void>;
  /**
   * How to start the program so that it sees `folder` alone. It can write only to `o` in it, and
   * runs in it.
   * @param folder as `prepare` left it
   * @param mounts what else it sees, and may write to
   */
  enter(folder: string, mounts?: readonly Mount[]): Launch;
}

/** A folder elsewhere on the machine that a program finds in its own. */
export interface Mount {
  /** Relative to the program's folder. */
  readonly at: string;
  /** An absolute path. */
  readonly folder: string;
}

export interface Launch {
  readonly file: string;
  /** Before the program's own. */
  readonly args: readonly string[];
  readonly cwd: string;
  /** For descriptor `FILTER_FD`. Null: the process has none. */
  readonly filter: Buffer | null;
  /** The process that is started is not the program: it writes the program's id to `INFO_FD`. */
  readonly tellsPid: boolean;
}

export const INFO_FD = 4;
export const FILTER_FD = 5;
/** Where a program finds the listening socket that it is given. */
export const LISTENER_FD = 6;
/** What is to be its environment. Closed before the program starts. */
export const SECRETS_FD = 7;
