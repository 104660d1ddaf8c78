import type { TLSSocket } from "node:tls";
import { decide, type Action } from "../decide.ts";
import { proveSocket } from "../tls.ts";
import type { Trust } from "../trust.ts";

/** An expired certificate is noticed at most this late, ms. */
const EXPIRY_CHECK = 5_000;

/**
 * Running streams, WebSockets and raw connections. Each is cut once its caller could no longer begin it: the
 * certificate is revoked or expired, its CA is gone, or the policy no longer allows it.
 */
export class Live implements Disposable {
  readonly #trust: Trust;
  readonly #clock: () => number;
  readonly #running = new Set<Running>();
  readonly #stop: () => void;
  readonly #timer: NodeJS.Timeout;

  constructor(trust: Trust, clock: () => number) {
    this.#trust = trust;
    this.#clock = clock;
    this.#stop = trust.onChange(() => this.#check());
    this.#timer = setInterval(() => this.#check(), EXPIRY_CHECK);
    this.#timer.unref();
  }

  get size(): number {
    return this.#running.size;
  }

  /** @returns a function to call when it has ended by itself */
  add(running: Running): () => void {
    this.#running.add(running);
    return () => this.#running.delete(running);
  }

  cutAll(): void {
    for (const { cut } of this.#running) cut("the server stops");
    this.#running.clear();
  }

  #check(): void {
    for (const running of this.#running) {
      if (this.#refusal(running) === null) continue;
      if (running.grace === undefined) this.#cut(running);
      else setTimeout(() => this.#cut(running), running.grace).unref();
    }
  }

  #cut(running: Running): void {
    const why = this.#refusal(running);
    if (why === null || !this.#running.delete(running)) return;
    running.cut(why);
  }

  #refusal({ socket, action }: Running): string | null {
    if (socket.destroyed) return null;
    const proof = proveSocket(socket, this.#trust, this.#clock());
    if (typeof proof === "string") return proof;
    const { allowed, code } = decide(this.#trust.policy, proof, action);
    return allowed ? null : code;
  }

  [Symbol.dispose](): void {
    this.#stop();
    clearInterval(this.#timer);
  }
}

export interface Running {
  readonly socket: TLSSocket;
  readonly action: Action;
  /** ms that it may still run after its caller is no longer allowed, so that short answers finish. Default: 0. */
  readonly grace?: number;
  /** Must not throw. */
  readonly cut: (why: string) => void;
}
