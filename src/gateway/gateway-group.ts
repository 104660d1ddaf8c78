import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import type { DatabaseConfig } from "../contract/database.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import { keyIn } from "../contract/key-in.ts";
import { defaultOptions, type AddressOptions } from "../contract/gateway-options.ts";
import type { GatewayBinding, GatewayHandle, IdentityRequest } from "../contract/gateway.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { SentError } from "../process/messages.ts";
import { SharedSocket } from "../process/shared-socket.ts";
import { SummedMetrics } from "../process/summed-metrics.ts";
import { inAll, startAll, statusOfAll } from "../process/together.ts";
import type { StartGatewayOptions } from "./start-options.ts";
import { DEALT_LIMITS, SupervisedGateway } from "./supervised-gateway.ts";

/**
 * Several gateway processes as one gateway. Each knows every certificate, and accepts from the
 * socket of every binding except a database's; any free process takes the next connection. The
 * sockets are made and held here, so the processes may have a user that cannot make them. A change
 * is in force when all processes have it.
 */
export class GatewayGroup implements GatewayHandle {
  readonly #members: readonly SupervisedGateway[];
  readonly #runDirectory: string;
  readonly #open: Map<string, { readonly binding: GatewayBinding; readonly socket: SharedSocket }> =
    new Map();
  readonly #summed: SummedMetrics = new SummedMetrics();

  private constructor(members: readonly SupervisedGateway[], runDirectory: string) {
    this.#members = members;
    this.#runDirectory = runDirectory;
  }

  /** @throws what the start of one throws; the others are stopped then */
  static async start(options: StartGatewayOptions, count: number): Promise<GatewayGroup> {
    if (count > 1 && options.metricsPort != null) {
      throw new TypeError("the metrics of several gateway processes have no port of their own");
    }
    for (const limit of DEALT_LIMITS) {
      const most = options[limit] ?? defaultOptions[limit];
      if (most < count)
        throw new TypeError(`${limit}: ${most} cannot be shared by ${count} processes`);
    }
    const members = Array.from(
      { length: count },
      (_, index) => new SupervisedGateway(options, { index, count }),
    );
    const group = new GatewayGroup(members, options.runDirectory);
    await startAll(
      members,
      (member) =>
        member.start(options, (question) => group.#recentFailure(member, question as Asked)),
      (member) => member[Symbol.asyncDispose](),
    );
    return group;
  }

  setCertificate(certificate: CertificateVersion): Promise<void> {
    return this.#all((member) => member.setCertificate(certificate));
  }

  requestIdentity(key: ScriptKey): Promise<IdentityRequest> {
    return this.#one().requestIdentity(key);
  }

  removeCertificate(accountId: string, certificateId: string): Promise<void> {
    return this.#all((member) => member.removeCertificate(accountId, certificateId));
  }

  setTrust(accountId: string, trust: AccountTrust): Promise<void> {
    return this.#all((member) => member.setTrust(accountId, trust));
  }

  setDatabase(database: DatabaseConfig): Promise<void> {
    return this.#all((member) => member.setDatabase(database));
  }

  removeDatabase(accountId: string, databaseId: string): Promise<void> {
    return this.#all((member) => member.removeDatabase(accountId, databaseId));
  }

  setAddresses(addresses: AddressOptions): Promise<void> {
    return this.#all((member) => member.setAddresses(addresses));
  }

  adoptMasterKey(masterKey: Uint8Array): Promise<void> {
    return this.#all((member) => member.adoptMasterKey(masterKey));
  }

  async openBinding(binding: GatewayBinding): Promise<void> {
    const { socketPath } = binding;
    const open = this.#open.get(socketPath);
    if (open !== undefined) {
      if (isDeepStrictEqual(open.binding, binding)) return;
      await this.closeBinding(socketPath);
    }
    const socket = new SharedSocket(this.#runDirectory, socketPath);
    this.#open.set(socketPath, { binding, socket });
    try {
      const members = this.#acceptingFor(binding);
      await inAll(members, (member) => member.openShared(binding, socket.passed));
    } catch (error) {
      await this.closeBinding(socketPath).catch(() => {});
      throw error;
    }
  }

  async closeBinding(socketPath: string): Promise<void> {
    const open = this.#open.get(socketPath);
    this.#open.delete(socketPath);
    open?.socket.unlink();
    try {
      await this.#all((member) => member.closeBinding(socketPath));
    } finally {
      // Not before: a process that is being started may just be handed it.
      open?.socket.close();
    }
  }

  testHandshake(...target: Parameters<GatewayHandle["testHandshake"]>): Promise<HandshakeReport> {
    return this.#one().testHandshake(...target);
  }

  testDatabase(...target: Parameters<GatewayHandle["testDatabase"]>): Promise<HandshakeReport> {
    return this.#one().testDatabase(...target);
  }

  /** Of all together: it runs when each does. */
  status(): ProcessStatus {
    return statusOfAll(this.processes());
  }

  processes(): readonly ProcessStatus[] {
    return this.#members.map((member) => member.status());
  }

  /** Those of a process that does not answer are as they were when it last did. */
  async metrics(): Promise<string> {
    const running = this.#members.filter(isRunning);
    const read = await Promise.allSettled(running.map((member) => member.countedMetrics()));
    const pids = this.processes().flatMap(({ pid }) => pid ?? []);
    return this.#summed.sum(
      read.flatMap((one) => (one.status === "fulfilled" ? one.value : [])),
      pids,
    );
  }

  /** From one process only: with several, each would have only a part. */
  metricsPort(): number | null {
    return this.#members.length === 1 ? this.#members[0]!.metricsPort() : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sockets = [...this.#open.values()].map(({ socket }) => socket);
    this.#open.clear();
    for (const socket of sockets) socket.unlink();
    await this.#all((member) => member[Symbol.asyncDispose]());
    for (const socket of sockets) socket.close();
  }

  async #all(apply: (member: SupervisedGateway) => Promise<void>): Promise<void> {
    await inAll(this.#members, apply);
  }

  /**
   * A database has few connections, for which callers wait in order. So all connections to one
   * database are in the same process, chosen by chance.
   */
  #acceptingFor({ accountId, database }: GatewayBinding): readonly SupervisedGateway[] {
    if (database === undefined) return this.#members;
    const digest = createHash("sha256").update(keyIn(accountId, database.databaseId)).digest();
    return [this.#members[digest.readUInt32BE() % this.#members.length]!];
  }

  /** The call itself may be what ends the process. */
  #one(): SupervisedGateway {
    return this.#members.find(isRunning) ?? this.#members[0]!;
  }

  /** A Worker asks one process why a connection failed; another process may have tried it. */
  async #recentFailure(asking: SupervisedGateway, asked: Asked): Promise<SentError | null> {
    const others = this.#members.filter((member) => member !== asking && isRunning(member));
    const answers = await Promise.allSettled(
      others.map((member) => member.recentFailure(asked.socketPath, asked.url)),
    );
    const known = answers.flatMap((one) => (one.status === "fulfilled" ? (one.value ?? []) : []));
    return known[0] ?? null;
  }
}

interface Asked {
  readonly socketPath: string;
  readonly url: string;
}

function isRunning(member: SupervisedGateway): boolean {
  return member.status().state === "running";
}
