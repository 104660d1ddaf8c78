import type { Logger } from "pino";
import { keyIn } from "../contract/key-in.ts";
import type { CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import type { GatewayHandle } from "../contract/gateway.ts";
import {
  identityId,
  type IdentityIssuer,
  type IdentityState,
  type IssuedIdentity,
} from "../contract/identity.ts";
import type { Sealed } from "../keys/seal.ts";
import { Backoff } from "../process/backoff.ts";

export interface HeldIdentitiesOptions {
  readonly issuer: IdentityIssuer;
  readonly gateway: Pick<GatewayHandle, "requestIdentity" | "setCertificate">;
  readonly log: Logger;
  /** ms since 1970. Default: `Date.now`. */
  readonly clock?: () => number;
  /** ms between two looks at the clock. Default: 5,000. */
  readonly every?: number;
}

interface Held {
  readonly key: ScriptKey;
  backoff: Backoff;
  /** Null: none was issued yet, or it was revoked. */
  issued: Issued | null;
  revokedOn: string | null;
  /** It is being asked for. */
  busy: boolean;
  /** When the last request for it failed, by the clock, and the pause in ms after that. */
  failed: { readonly on: number; readonly pause: number } | null;
  /** The last task: what concerns one Worker happens in order. */
  tail: Promise<void>;
}

interface Issued {
  readonly spiffeId: string;
  readonly authorityId: string;
  readonly renewAt: number;
  readonly notBefore: number;
}

/**
 * Keeps an identity in the gateway for each Worker that has a binding for one: issued before it is
 * first needed, renewed before half of its life is over. The clock is looked at again and again, so that
 * it may jump, and the machine may sleep.
 */
export class HeldIdentities {
  readonly #options: HeldIdentitiesOptions;
  readonly #clock: () => number;
  readonly #held = new Map<string, Held>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: HeldIdentitiesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
    this.#timer = setInterval(() => this.#look(), options.every ?? 5_000).unref();
  }

  /**
   * Resolves when the Worker has an identity, or when it is known why not: a deploy does not wait for
   * a control plane that is away. Never rejects.
   */
  async ensure(key: ScriptKey): Promise<void> {
    const held = this.#hold(key);
    if (held.issued === null && held.revokedOn === null) await this.#renew(held);
    else await held.tail;
  }

  /** The Worker was deleted: its identity is no longer renewed. */
  forget(key: ScriptKey): void {
    this.#held.delete(idOf(key));
  }

  /** What is known of one Worker's identity may have changed. Resolves when it is in force. */
  async changed(key: ScriptKey): Promise<void> {
    const held = this.#held.get(idOf(key));
    if (held !== undefined) await this.#inTurn(held, () => this.#follow(held, false));
  }

  /** The CAs of an account may have changed. */
  async accountChanged(accountId: string): Promise<void> {
    const those = [...this.#held.values()].filter(({ key }) => key.accountId === accountId);
    await Promise.all(those.map(({ key }) => this.changed(key)));
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#held.clear();
  }

  #hold(key: ScriptKey): Held {
    const id = idOf(key);
    let held = this.#held.get(id);
    if (held === undefined) {
      held = {
        key: { accountId: key.accountId, scriptName: key.scriptName },
        backoff: new Backoff(),
        issued: null,
        revokedOn: null,
        busy: false,
        failed: null,
        tail: Promise.resolve(),
      };
      this.#held.set(id, held);
    }
    return held;
  }

  #look(): void {
    const now = this.#clock();
    for (const held of this.#held.values()) {
      const { issued, failed, busy, revokedOn } = held;
      if (busy || revokedOn !== null) continue;
      // After the clock was set back, the last failure is in the future. The pause does not last
      // until then.
      if (failed !== null && now >= failed.on && now < failed.on + failed.pause) continue;
      // A clock that was set back makes what was just issued not valid yet.
      if (issued === null || now >= issued.renewAt || now < issued.notBefore)
        void this.#renew(held);
    }
  }

  /** Never rejects: what fails is tried again. */
  #renew(held: Held): Promise<void> {
    held.busy = true;
    return this.#inTurn(held, () => this.#follow(held, true));
  }

  /** @param renew even if what is there would do */
  async #follow(held: Held, renew: boolean): Promise<void> {
    const { issuer, log } = this.#options;
    try {
      const state = await issuer.identity(held.key);
      if (state.revokedOn !== null) await this.#revoke(held, state.revokedOn, state.reason);
      else if (renew || isSuperseded(held.issued, state)) await this.#issue(held);
      this.#checkClocks(held);
      held.backoff = new Backoff();
      held.failed = null;
    } catch (error) {
      held.failed = { on: this.#clock(), pause: held.backoff.next(0) };
      const { accountId, scriptName } = held.key;
      const reason = error instanceof Error ? error.message : String(error);
      log.error(
        { account: accountId, script: scriptName, reason },
        "no identity was issued that would do, it is asked for again",
      );
    } finally {
      held.busy = false;
    }
  }

  /** @throws Error if what was just issued would have to be renewed at once, again and again */
  #checkClocks({ issued }: Held): void {
    const now = this.#clock();
    if (issued === null || (issued.notBefore <= now && now < issued.renewAt)) return;
    const [begin, here] = [issued.notBefore, now].map((time) => new Date(time).toISOString());
    throw new Error(`it is valid from ${begin} on, and here it is ${here}: the clocks differ`);
  }

  async #issue(held: Held): Promise<void> {
    const { issuer, gateway } = this.#options;
    const { csr, sealedKey, sealedId } = await gateway.requestIdentity(held.key);
    const { version, chain, ...issued } = await issuer.issueIdentity(held.key, csr);
    const named = namedCertificate(held.key);
    await gateway.setCertificate({
      ...named,
      version,
      chain,
      sealedKey,
      sealedId,
      revokedOn: null,
    });
    held.issued = issuedAt(issued);
    held.revokedOn = null;
  }

  /** Connections that present it are cut, and none is made. */
  async #revoke(held: Held, revokedOn: string, reason: IdentityState["reason"]): Promise<void> {
    held.revokedOn = revokedOn;
    held.issued = null;
    await this.#options.gateway.setCertificate({
      ...namedCertificate(held.key),
      version: 0,
      chain: "",
      sealedKey: NO_KEY,
      sealedId: "",
      revokedOn,
      ofDeleted: reason === "deleted",
    });
  }

  #inTurn(held: Held, task: () => Promise<void>): Promise<void> {
    held.tail = held.tail.then(task, task);
    return held.tail;
  }
}

/** One that is revoked has none. */
const NO_KEY = "" as Sealed;

function namedCertificate({
  accountId,
  scriptName,
}: ScriptKey): Pick<
  CertificateVersion,
  "accountId" | "certificateId" | "name" | "allowedHosts" | "trust"
> {
  const certificateId = identityId(scriptName);
  return { accountId, certificateId, name: null, allowedHosts: null, trust: null };
}

/** By another CA, or by another name. */
function isSuperseded(issued: Issued | null, { authorityId, spiffeId }: IdentityState): boolean {
  return issued?.authorityId !== authorityId || issued.spiffeId !== spiffeId;
}

function issuedAt({
  spiffeId,
  authorityId,
  notBefore,
  notAfter,
}: Omit<IssuedIdentity, "version" | "chain">): Issued {
  const [begin, end] = [Date.parse(notBefore), Date.parse(notAfter)];
  // Between 40 and 49 per cent: Workers that were issued together do not renew together, and each has
  // more than 12 hours left when the control plane goes away just before it would renew.
  const share = 0.4 + Math.random() * 0.09;
  return { spiffeId, authorityId, notBefore: begin, renewAt: begin + (end - begin) * share };
}

function idOf({ accountId, scriptName }: ScriptKey): string {
  return keyIn(accountId, scriptName);
}
