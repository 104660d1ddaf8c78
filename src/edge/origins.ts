import { join } from "node:path";
import type { Logger } from "pino";
import type { Source } from "../contract/change-feed.ts";
import { NO_CERTIFICATE, type GatewayBinding, type GatewayHandle } from "../contract/gateway.ts";
import type { HostOrigin } from "../contract/hosts.ts";
import type { IngressHandle } from "../ingress/handle.ts";
import { frontOf } from "./config/outbound-config.ts";
import type { ScriptUpdate } from "../ingress/protocol.ts";
import type { RunDirectory } from "../process/run-directory.ts";

export interface OriginsOptions {
  readonly source: Pick<Source, "origins">;
  readonly ingress: Pick<IngressHandle, "scripts" | "retire">;
  readonly gateway: Pick<GatewayHandle, "openBinding" | "closeBinding">;
  readonly run: Pick<RunDirectory, "offered">;
  /** Where origins listen that DNS records name. */
  readonly port: number;
  readonly log: Logger;
}

/**
 * Hosts that an origin answers for. The ingress hands their requests to a socket of the gateway,
 * which connects, verifies and presents the certificate as it does for Workers.
 */
export class Origins {
  readonly #options: OriginsOptions;
  /** By account. */
  readonly #open = new Map<string, OpenOrigins>();
  /** Those that drain, too. */
  readonly #held = new Set<GatewayBinding>();
  /** Those that the ingress was told of. */
  readonly #told = new WeakSet<OpenOrigin>();
  #opened = 0;

  constructor(options: OriginsOptions) {
    this.#options = options;
  }

  /** Is the certificate presented, or may it be until what is in flight has ended? */
  presents(accountId: string, certificateId: string): boolean {
    return [...this.#held].some(
      (one) => one.accountId === accountId && one.certificateId === certificateId,
    );
  }

  /**
   * In force on return. What is in flight ends where it began.
   * @param certificate has the gateway know of one before it is presented
   */
  async apply(
    accountId: string,
    certificate: (certificateId: string) => Promise<void>,
  ): Promise<void> {
    const { source, ingress, gateway, run, port } = this.#options;
    const before = this.#open.get(accountId) ?? { byHost: new Map(), leaving: [] };
    const byHost = new Map<string, OpenOrigin>();
    for (const origin of await source.origins(accountId)) {
      const front = frontOf(origin, port);
      const identity = JSON.stringify([front, origin.certificateId]);
      const known = before.byHost.get(origin.host);
      const binding = (): GatewayBinding => this.#bindingOf(accountId, origin, front);
      const one = known?.identity === identity ? known : { identity, binding: binding() };
      byHost.set(origin.host, one);
      this.#held.add(one.binding);
    }
    const replaced = [...before.byHost].filter(([host, one]) => byHost.get(host) !== one);
    const leaving = [...before.leaving, ...replaced.map(([, { binding }]) => binding)];
    // Known from now on: if anything fails, the next attempt goes on from here.
    this.#open.set(accountId, { byHost, leaving });
    const fresh = [...byHost.values()].filter((one) => !this.#told.has(one));
    const bindings = fresh.map((one) => one.binding);
    await Promise.all([...idsOf(bindings)].map((id) => certificate(id)));
    await Promise.all(
      bindings.map(async (binding) => {
        await gateway.openBinding(binding);
        await run.offered?.offer(binding.socketPath);
      }),
    );
    const updates: ScriptUpdate[] = bindings.map((one) => updateOf(one));
    for (const { bindingName: host } of leaving) {
      if (!byHost.has(host)) updates.push({ accountId, scriptName: nameOf(host), entry: null });
    }
    if (updates.length > 0) await ingress.scripts(updates);
    for (const one of fresh) this.#told.add(one);
    this.#open.set(accountId, { byHost, leaving: [] });
    for (const binding of leaving) void this.#close(binding);
  }

  /** At a path of its own: an origin that comes back does not meet the drain of its former socket. */
  #bindingOf(
    accountId: string,
    { host, certificateId }: HostOrigin,
    front: NonNullable<GatewayBinding["front"]>,
  ): GatewayBinding {
    this.#opened += 1;
    return {
      socketPath: join("o", `${this.#opened}.sock`),
      accountId,
      scriptName: nameOf(host),
      bindingName: host,
      certificateId: certificateId ?? NO_CERTIFICATE,
      front,
    };
  }

  async #close(binding: GatewayBinding): Promise<void> {
    const { ingress, gateway, run, log } = this.#options;
    const { socketPath } = binding;
    try {
      await ingress.retire(socketPath);
      await run.offered?.withdraw(socketPath);
      await gateway.closeBinding(socketPath);
      this.#held.delete(binding);
    } catch (error) {
      log.error({ socketPath, error }, "the socket of a host's origin does not close");
    }
  }
}

interface OpenOrigins {
  readonly byHost: ReadonlyMap<string, OpenOrigin>;
  /** To be closed once the ingress was told of what replaces them. */
  readonly leaving: readonly GatewayBinding[];
}

interface OpenOrigin {
  /** Equal for two that lead to the same place in the same way. */
  readonly identity: string;
  readonly binding: GatewayBinding;
}

function idsOf(bindings: readonly GatewayBinding[]): ReadonlySet<string> {
  const ids = bindings.map(({ certificateId }) => certificateId);
  return new Set(ids.filter((id) => id !== NO_CERTIFICATE));
}

/** A Worker's name has no space in it. */
function nameOf(host: string): string {
  return `origin of ${host}`;
}

function updateOf({
  accountId,
  scriptName,
  bindingName,
  socketPath,
}: GatewayBinding): ScriptUpdate {
  const targets = [{ sockets: [socketPath], percentage: 100 }];
  const entry = { scriptName, hosts: [bindingName], routes: [], targets, isOrigin: true } as const;
  return { accountId, scriptName, entry };
}
