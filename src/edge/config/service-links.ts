import { rm } from "node:fs/promises";
import { keyIn } from "../../contract/key-in.ts";
import { linkOver } from "../../process/folder-socket.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import type { ScriptKey, WorkerVersion } from "../../contract/change-feed.ts";
import { CLASS_NAME } from "../../contract/class-names.ts";
import { Failure } from "../../failures/failures.ts";

/** What a script listens with for others: its own socket, and those of its other doors. */
export interface LinkTarget {
  readonly socket: string;
  /** By `doorOf` the binding that leads there. */
  readonly entrypoints: ReadonlyMap<string, string>;
  /** Where the platform itself calls it. Absent: nowhere. */
  readonly events?: string | null;
}

interface Place {
  readonly entrypoint: string;
  /** The socket it leads to. */
  leadsTo: string;
}

/**
 * Names what a service binding leads to within a script: the default export, another entrypoint, or
 * either with the `ctx.props` that the binding gives it. Each has a socket of its own, so that props
 * cannot be had by who is not bound with them.
 */
export function doorOf({ entrypoint, props }: Door): string {
  const hasProps = props !== undefined && Object.keys(props).length > 0;
  return hasProps ? JSON.stringify([entrypoint ?? null, props]) : (entrypoint ?? DEFAULT);
}

interface Door {
  readonly entrypoint?: string | undefined;
  readonly props?: Readonly<Record<string, unknown>> | undefined;
}

/** What `doorOf` was made from. No entrypoint's name begins with a bracket. */
export function readDoor(door: string): Door {
  if (!door.startsWith("[")) return door === DEFAULT ? {} : { entrypoint: door };
  const [entrypoint, props] = JSON.parse(door) as [string | null, Record<string, unknown>];
  return { ...(entrypoint !== null && { entrypoint }), props };
}

/** Before a process is started. @throws Failure `entrypoint_not_a_class` */
export function refuseEntrypoints(version: Pick<WorkerVersion, "scriptName" | "bindings">): void {
  const refused = refusedEntrypoint(version);
  if (refused !== null) throw refused;
}

/**
 * The binding of a version that would lead to one of the platform's own doors. Uploads are refused
 * such names, but a version may have been stored before they were. Null: there is none.
 */
export function refusedEntrypoint({
  scriptName,
  bindings,
}: Pick<WorkerVersion, "scriptName" | "bindings">): Failure | null {
  for (const binding of bindings) {
    if (binding.type !== "service" || !binding.entrypoint) continue;
    const { name, entrypoint } = binding;
    if (CLASS_NAME.test(entrypoint)) continue;
    return new Failure("entrypoint_not_a_class", {
      message: `the Worker "${scriptName}" does not start: its binding "${name}" has the entrypoint ${JSON.stringify(entrypoint)}, which is not the name of a class`,
      facts: { scriptName, binding: name, entrypoint },
    });
  }
  return null;
}

/**
 * The places at which Workers reach each other: in the folder of each process, a hard link to the
 * socket of the generation that is live. A symbolic link would lead out of the folder, which is
 * all that the process sees.
 */
export class ServiceLinks {
  readonly #run: RunDirectory;
  readonly #absent: string;
  /** By script, then by the path of the link. */
  readonly #places = new Map<string, Map<string, Place>>();
  /** The entrypoints of each script that some binding has named. */
  readonly #named = new Map<string, Set<string>>();
  /** One link at a time: the last word on a place is the newest. */
  #turn: Promise<void> = Promise.resolve();
  #count = 0;

  /** @param absent the socket at which a caller of a service that is not deployed is told so */
  constructor(run: RunDirectory, absent: string) {
    this.#run = run;
    this.#absent = absent;
  }

  /** Has `path` lead to `target` or, without one, to the answer that there is none, until it is removed. */
  async add(
    path: string,
    key: ScriptKey,
    entrypoint: string,
    target: LinkTarget | null,
  ): Promise<void> {
    const id = idOf(key);
    const named = this.#named.get(id) ?? new Set();
    this.#named.set(id, named.add(entrypoint));
    const places = this.#places.get(id) ?? new Map<string, Place>();
    this.#places.set(id, places);
    const place = { entrypoint, leadsTo: socketOf(target, entrypoint) ?? this.#absent };
    places.set(path, place);
    await this.#point(path, place);
  }

  /** Whose folder goes needs no links any more. */
  remove(paths: readonly string[]): void {
    for (const [id, places] of this.#places) {
      for (const path of paths) places.delete(path);
      if (places.size === 0) this.#places.delete(id);
    }
  }

  /** The doors of a script that some binding leads to, but its default export without props. */
  wanted(key: ScriptKey): readonly string[] {
    return [...(this.#named.get(idOf(key)) ?? [])].filter(
      (entrypoint) => entrypoint !== DEFAULT && entrypoint !== EVENTS_DOOR,
    );
  }

  /** Moves every link to a script. Connections that are open stay where they are. */
  async move(key: ScriptKey, target: LinkTarget | null): Promise<void> {
    const places = [...(this.#places.get(idOf(key)) ?? [])];
    for (const [, place] of places) {
      place.leadsTo = socketOf(target, place.entrypoint) ?? this.#absent;
    }
    await Promise.all(places.map(([path, place]) => this.#point(path, place)));
  }

  /** Another process listens at a socket: a link to the one before leads nowhere. */
  async renew(socket: string): Promise<void> {
    const places = [...this.#places.values()].flatMap((all) => [...all]);
    const led = places.filter(([, { leadsTo }]) => leadsTo === socket);
    await Promise.all(led.map(([path, place]) => this.#point(path, place)));
  }

  #point(path: string, place: Place): Promise<void> {
    const done = this.#turn.then(() => this.#pointNow(path, place));
    this.#turn = done.catch(() => {});
    return done;
  }

  async #pointNow(path: string, { leadsTo }: Place): Promise<void> {
    const at = this.#run.absolute(path);
    const fresh = `${at}.${++this.#count}`;
    const isThere = await linkOver(this.#run.absolute(leadsTo), at, fresh);
    // It does not listen yet, and is linked when it does; or the caller's folder has gone.
    if (!isThere) await rm(at, { force: true });
  }
}

/** The door through which the platform calls a Worker. No entrypoint has such a name. */
export const EVENTS_DOOR = "the events of the platform";

/** The name under which the default export counts as an entrypoint. */
const DEFAULT = "default";

function socketOf(target: LinkTarget | null, entrypoint: string): string | undefined {
  if (entrypoint === EVENTS_DOOR) return target?.events ?? undefined;
  return entrypoint === DEFAULT ? target?.socket : target?.entrypoints.get(entrypoint);
}

function idOf({ accountId, scriptName }: ScriptKey): string {
  return keyIn(accountId, scriptName);
}
