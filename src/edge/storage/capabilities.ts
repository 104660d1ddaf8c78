import { createHmac, randomBytes } from "node:crypto";
import type { StorageKind } from "../../contract/storage.ts";

/** The header in which a binding's configuration names its resource. */
export const CAPABILITY_HEADER = "cs-resource";

/**
 * Proves to the storage processes which resource a request is for. A socket leads to all resources of a kind. The
 * header that a Worker's configuration sets opens the one resource that the Worker binds, and a program in workerd's
 * place cannot make another header.
 */
export class Capabilities {
  /** Hex. Made at each start of the platform, and no Worker's process outlives the platform. */
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
