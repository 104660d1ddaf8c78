import { createHmac, randomBytes } from "node:crypto";
import type { StorageKind } from "../../contract/storage.ts";

/** The header by which a binding's configuration says which resource it is for. */
export const CAPABILITY_HEADER = "cs-resource";

/**
 * Proves to the storage processes which resource a request is for. A socket leads to all resources
 * of a kind; what is set by a Worker's configuration opens the one that it binds, and a program in
 * workerd's place cannot make another.
 */
export class Capabilities {
  /** Hex. As old as the platform's process: so is every Worker's. */
  readonly key: string = randomBytes(32).toString("hex");

  of(kind: StorageKind, id: string): string {
    return this.#prove(`${kind}:${id}`);
  }

  toDelete(kind: StorageKind, id: string): string {
    return this.#prove(`delete-${kind}:${id}`);
  }

  #prove(named: string): string {
    const proof = createHmac("sha256", Buffer.from(this.key, "hex")).update(named).digest("hex");
    return `${named}.${proof}`;
  }
}
