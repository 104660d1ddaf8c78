import type { AccountTrust, CertificateVersion } from "../contract/change-feed.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { GatewayBinding, GatewayHandle } from "../contract/gateway.ts";
import type { GatewayMethod, GatewayCalls } from "./messages.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { GatewayEvent } from "../contract/gateway-event.ts";
import {
  defaultOptions,
  type AddressOptions,
  type GatewayOptions,
} from "../contract/gateway-options.ts";
import { GatewayProcess, ProcessEnded } from "./process.ts";

export interface StartGatewayOptions extends Partial<
  Omit<GatewayOptions, "addresses" | "timeouts">
> {
  /** The working directory of the gateway: sockets are relative to it. */
  readonly runDirectory: string;
  /** 32 bytes. */
  readonly masterKey: Uint8Array;
  readonly addresses?: Partial<AddressOptions>;
  readonly timeouts?: Partial<GatewayOptions["timeouts"]>;
  /** Handshakes and failures, by certificate and origin: the last of each, a few times a second. */
  readonly onEvent?: (event: GatewayEvent) => void;
}

/** Starts the gateway process. Resolves when it is ready for certificates and bindings. */
export async function startGateway(options: StartGatewayOptions): Promise<GatewayHandle> {
  const gateway = new SupervisedGateway(options);
  await gateway.started();
  return gateway;
}

class SupervisedGateway implements GatewayHandle {
  readonly #runDirectory: string;
  readonly #masterKey: Uint8Array;
  /** Those that came since, in order. */
  readonly #adoptedKeys: Uint8Array[] = [];
  readonly #onEvent: (event: GatewayEvent) => void;
  readonly #certificates: Map<string, CertificateVersion> = new Map();
  readonly #trust: Map<string, AccountTrust> = new Map();
  readonly #bindings: Map<string, GatewayBinding> = new Map();
  #options: GatewayOptions;
  #state: ProcessStatus["state"] = "starting";
  #restarts = 0;
  #quickEnds = 0;
  #lastExit: string | null = null;
  #running: Promise<Running>;
  #current: Running | null = null;

  constructor(options: StartGatewayOptions) {
    const { runDirectory, masterKey, onEvent, addresses, timeouts, ...rest } = options;
    this.#runDirectory = runDirectory;
    this.#masterKey = Uint8Array.from(masterKey);
    this.#onEvent = onEvent ?? (() => {});
    this.#options = {
      ...defaultOptions,
      ...rest,
      addresses: { ...defaultOptions.addresses, ...addresses },
      timeouts: { ...defaultOptions.timeouts, ...timeouts },
    };
    this.#running = this.#start();
    this.#running.catch(() => {});
  }

  async started(): Promise<void> {
    try {
      await this.#running;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async setCertificate(certificate: CertificateVersion): Promise<void> {
    const key = `${certificate.accountId}/${certificate.certificateId}`;
    try {
      await this.#call("setCertificate", certificate);
    } catch (error) {
      // Remembered all the same, so that a binding of it is told what is wrong after a restart.
      if (!this.#certificates.has(key)) this.#certificates.set(key, certificate);
      throw error;
    }
    this.#certificates.set(key, certificate);
  }

  async removeCertificate(accountId: string, certificateId: string): Promise<void> {
    this.#certificates.delete(`${accountId}/${certificateId}`);
    await this.#call("removeCertificate", accountId, certificateId);
  }

  async setTrust(accountId: string, trust: AccountTrust): Promise<void> {
    await this.#call("setTrust", accountId, trust);
    this.#trust.set(accountId, trust);
  }

  async adoptMasterKey(masterKey: Uint8Array): Promise<void> {
    this.#adoptedKeys.push(Uint8Array.from(masterKey));
    await this.#call("adoptMasterKey", Uint8Array.from(masterKey));
  }

  async setAddresses(addresses: AddressOptions): Promise<void> {
    await this.#call("setAddresses", addresses);
    this.#options = { ...this.#options, addresses };
  }

  async openBinding(binding: GatewayBinding): Promise<void> {
    await this.#call("openBinding", binding);
    this.#bindings.set(binding.socketPath, binding);
  }

  async closeBinding(socketPath: string): Promise<void> {
    this.#bindings.delete(socketPath);
    await this.#call("closeBinding", socketPath);
  }

  testHandshake(accountId: string, certificateId: string, url: string): Promise<HandshakeReport> {
    return this.#call("testHandshake", accountId, certificateId, url);
  }

  status(): ProcessStatus {
    return {
      pid: this.#current?.process.pid ?? null,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  metricsPort(): number | null {
    return this.#current?.metricsPort ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    const running = await this.#running.catch(() => null);
    await running?.process.stop();
    for (const key of [this.#masterKey, ...this.#adoptedKeys]) key.fill(0);
  }

  /** Waits while the process is started again; what it did not answer before it ended is asked again. */
  async #call<M extends GatewayMethod>(
    method: M,
    ...args: Parameters<GatewayCalls[M]>
  ): Promise<ReturnType<GatewayCalls[M]>> {
    for (;;) {
      const { process } = await this.#running;
      try {
        return await process.call(method, ...args);
      } catch (error) {
        if (!(error instanceof ProcessEnded) || this.#state === "stopped") throw error;
        await process.ended;
      }
    }
  }

  async #start(): Promise<Running> {
    const process = new GatewayProcess(
      this.#runDirectory,
      this.#options.useSystemRoots,
      this.#onEvent,
    );
    const startedAt = Date.now();
    try {
      const { metricsPort } = await process.call(
        "start",
        Uint8Array.from(this.#masterKey),
        this.#options,
      );
      for (const key of this.#adoptedKeys) {
        await process.call("adoptMasterKey", Uint8Array.from(key));
      }
      await process.call("restore", {
        certificates: [...this.#certificates.values()],
        trust: [...this.#trust],
        bindings: [...this.#bindings.values()],
      });
      this.#current = { process, metricsPort };
    } catch (error) {
      process.kill();
      const reason = await process.ended;
      // What fails the first time would fail again: the caller has to know.
      if (this.#state === "starting" || this.#state === "stopped") throw error;
      this.#ended(reason, startedAt);
      return this.#running;
    }
    void process.ended.then((reason) => this.#ended(reason, startedAt));
    if (this.#state !== "stopped") this.#state = "running";
    return this.#current;
  }

  #ended(reason: string, startedAt: number): void {
    this.#current = null;
    this.#lastExit = reason;
    if (this.#state === "stopped") return;
    this.#state = "restarting";
    this.#restarts += 1;
    this.#quickEnds = Date.now() - startedAt > STEADY ? 0 : this.#quickEnds + 1;
    const wait = this.#quickEnds <= 1 ? 0 : Math.min(100 * 2 ** (this.#quickEnds - 2), 10_000);
    this.#running = new Promise<void>((fulfil) => setTimeout(fulfil, wait)).then(() =>
      this.#start(),
    );
    this.#running.catch(() => {});
  }
}

interface Running {
  readonly process: GatewayProcess;
  readonly metricsPort: number | null;
}

/** A process that ran for longer, in ms, is started again at once. */
const STEADY = 30_000;
