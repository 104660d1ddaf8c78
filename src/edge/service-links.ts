import { createHash } from "node:crypto";
import { rename, symlink } from "node:fs/promises";
import type { RunDirectory } from "../process/run-directory.ts";
import type { ScriptKey } from "../contract/change-feed.ts";

/** What a script listens with for others: its own socket, and those of its other doors. */
export interface LinkTarget {
  readonly socket: string;
  /** By `doorOf` the binding that leads there. */
  readonly entrypoints: ReadonlyMap<string, string>;
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

/**
 * The stable paths at which Workers reach each other: a symbolic link for each script and
 * entrypoint that a service binding names, which always leads to the generation that is live.
 */
export class ServiceLinks {
  readonly #run: RunDirectory;
  readonly #absent: string;
  readonly #links = new Map<string, Map<string, string>>();
  #count = 0;

  /** @param absent the socket where whoever calls a service that is not deployed is told so */
  constructor(run: RunDirectory, absent: string) {
    this.#run = run;
    this.#absent = absent;
  }

  /** The path for a service binding, which leads to `target` or, without one, to the answer that there is none. */
  async path(key: ScriptKey, entrypoint: string, target: LinkTarget | null): Promise<string> {
    const links = this.#linksOf(key);
    const known = links.get(entrypoint);
    if (known !== undefined) return known;
    const path = `s/${digest(key, entrypoint)}`;
    links.set(entrypoint, path);
    await this.#point(path, socketOf(target, entrypoint) ?? this.#absent);
    return path;
  }

  /** The doors of a script that some binding leads to, but its default export without props. */
  wanted(key: ScriptKey): readonly string[] {
    return [...this.#linksOf(key).keys()].filter((entrypoint) => entrypoint !== DEFAULT);
  }

  /** Moves every path of a script. Connections that are open stay where they are. */
  async move(key: ScriptKey, target: LinkTarget | null): Promise<void> {
    for (const [entrypoint, path] of this.#linksOf(key)) {
      await this.#point(path, socketOf(target, entrypoint) ?? this.#absent);
    }
  }

  /** Never a moment without a link: the new one replaces the old by rename. */
  async #point(path: string, socket: string): Promise<void> {
    const link = this.#run.absolute(path);
    const fresh = `${link}.${++this.#count}`;
    await symlink(`../${socket}`, fresh);
    await rename(fresh, link);
  }

  #linksOf(key: ScriptKey): Map<string, string> {
    const id = JSON.stringify([key.accountId, key.scriptName]);
    let links = this.#links.get(id);
    if (links === undefined) this.#links.set(id, (links = new Map()));
    return links;
  }
}

/** The name under which the default export counts as an entrypoint. */
const DEFAULT = "default";

function socketOf(target: LinkTarget | null, entrypoint: string): string | undefined {
  return entrypoint === DEFAULT ? target?.socket : target?.entrypoints.get(entrypoint);
}

function digest(key: ScriptKey, entrypoint: string): string {
  return createHash("sha256")
    .update(JSON.stringify([key.accountId, key.scriptName, entrypoint]))
    .digest("hex")
    .slice(0, 32);
}
