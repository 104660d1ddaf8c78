import { createHash } from "node:crypto";
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
  /** Account → host → the socket in use. */
  readonly #open = new Map<string, ReadonlyMap<string, string>>();
  /** By socket, those that drain too. */
  readonly #sockets = new Map<string, GatewayBinding>();

  constructor(options: OriginsOptions) {
    this.#options = options;
  }

  /** Is the certificate presented, or may it be until what is in flight has ended? */
  presents(accountId: string, certificateId: string): boolean {
    return [...this.#sockets.values()].some(
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
    const before = this.#open.get(accountId) ?? new Map<string, string>();
    const bindings = (await source.origins(accountId)).map((one) =>
      bindingOf(accountId, one, port),
    );
    const wanted = new Map(bindings.map((one) => [one.bindingName, one.socketPath]));
    const fresh = bindings.filter((one) => before.get(one.bindingName) !== one.socketPath);
    for (const binding of fresh) this.#sockets.set(binding.socketPath, binding);
    await Promise.all([...idsOf(fresh)].map((id) => certificate(id)));
    await Promise.all(
      fresh.map(async (binding) => {
        await gateway.openBinding(binding);
        await run.offered?.offer(binding.socketPath);
      }),
    );
    const updates: ScriptUpdate[] = fresh.map((one) => updateOf(one));
    for (const host of before.keys()) {
      if (!wanted.has(host)) updates.push({ accountId, scriptName: nameOf(host), entry: null });
    }
    if (updates.length > 0) await ingress.scripts(updates);
    this.#open.set(accountId, wanted);
    for (const [host, socketPath] of before) {
      if (wanted.get(host) !== socketPath) void this.#close(socketPath);
    }
  }

  async #close(socketPath: string): Promise<void> {
    const { ingress, gateway, run, log } = this.#options;
    try {
      await ingress.retire(socketPath);
      if (this.#isOpen(socketPath)) return;
      await run.offered?.withdraw(socketPath);
      await gateway.closeBinding(socketPath);
      if (!this.#isOpen(socketPath)) this.#sockets.delete(socketPath);
    } catch (error) {
      log.error({ socketPath, error }, "the socket of a host's origin does not close");
    }
  }

  /** What was taken away may have come back meanwhile. */
  #isOpen(socketPath: string): boolean {
    return [...this.#open.values()].some((hosts) => [...hosts.values()].includes(socketPath));
  }
}

function idsOf(bindings: readonly GatewayBinding[]): ReadonlySet<string> {
  const ids = bindings.map(({ certificateId }) => certificateId);
  return new Set(ids.filter((id) => id !== NO_CERTIFICATE));
}

/** A Worker's name has no space in it. */
function nameOf(host: string): string {
  return `origin of ${host}`;
}

function bindingOf(accountId: string, origin: HostOrigin, ownPort: number): GatewayBinding {
  const { host, certificateId } = origin;
  const front = frontOf(origin, ownPort);
  const text = JSON.stringify([accountId, host, front, certificateId]);
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return {
    socketPath: join("o", `${hash}.sock`),
    accountId,
    scriptName: nameOf(host),
    bindingName: host,
    certificateId: certificateId ?? NO_CERTIFICATE,
    front,
  };
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
