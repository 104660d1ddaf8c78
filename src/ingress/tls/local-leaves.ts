import type { SecureContext } from "node:tls";
import type { ServedCertificate } from "../../contract/hosts.ts";
import { contextOf } from "./hosts.ts";

export interface LocalLeaf extends ServedCertificate {
  readonly context: SecureContext;
}

/**
 * Certificates of this machine's own CA for one name each: most clients take no wildcard for a name
 * right below `localhost`, and none takes it for one further below. They are asked for at the first handshake that wants them.
 */
export class LocalLeaves {
  readonly #ask: (name: string) => Promise<ServedCertificate | null>;
  readonly #isAnswered: (host: string) => boolean;
  readonly #leaves = new Map<string, Promise<LocalLeaf | null>>();

  /**
   * @param ask null: the CA does not speak for the name
   * @param isAnswered whether somebody answers for exactly this host: strangers can name any
   */
  constructor(
    ask: (name: string) => Promise<ServedCertificate | null>,
    isAnswered: (host: string) => boolean,
  ) {
    this.#ask = ask;
    this.#isAnswered = isAnswered;
  }

  /** The default certificate is another, and what was signed with it is as old as it was. */
  forget(): void {
    this.#leaves.clear();
  }

  /**
   * Null: the default certificate is presented. It never rejects.
   * @param name lower case, without a trailing dot
   */
  find(name: string): Promise<LocalLeaf | null> | null {
    if (!this.#isAnswered(name)) return null;
    const known = this.#leaves.get(name);
    if (known !== undefined) return known;
    if (this.#leaves.size >= MOST) this.#leaves.clear();
    const leaf = this.#make(name).catch(() => {
      // The next handshake asks again.
      this.#leaves.delete(name);
      return null;
    });
    this.#leaves.set(name, leaf);
    return leaf;
  }

  async #make(name: string): Promise<LocalLeaf | null> {
    const certificate = await this.#ask(name);
    return certificate && { ...certificate, context: contextOf(certificate) };
  }
}

/** Names that are no host's any more are among them. */
const MOST = 10_000;
