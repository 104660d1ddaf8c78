// Runs inside a Worker: it reaches nothing but `node:stream`.
import { Duplex } from "node:stream";

/** An mTLS binding (`env.MY_CERT`), as far as it is needed here. */
export interface ConnectBinding {
  connect(address: string, options?: { allowHalfOpen?: boolean }): ConnectedSocket;
  fetch(
    url: string,
  ): Promise<{ readonly headers: { get(name: string): string | null }; text(): Promise<string> }>;
}

export interface ConnectedSocket {
  readonly opened: Promise<unknown>;
  readonly readable: { getReader(): { read(): Promise<{ done: boolean; value?: unknown }> } };
  readonly writable: {
    getWriter(): { write(chunk: Uint8Array): Promise<void>; close(): Promise<void> };
  };
  close(): Promise<void>;
}

/** Why a connection failed, in the gateway's words. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
  /** As in docs/failures.md. */
  readonly code: string;

  constructor(code: string, title: string) {
    super(`${code}: ${title}`);
    this.code = code;
  }
}

/**
 * A connection through an mTLS binding, as the stream that database drivers take. It opens at once.
 * The gateway speaks TLS and presents the certificate: a driver's own `ssl` may be off.
 * @param address `host:port`
 */
export function streamTo(binding: ConnectBinding, address: string): BindingStream {
  return new BindingStream(binding, address);
}

/** For `ioredis`: its option `Connector`. */
export function connectorTo(binding: ConnectBinding, address: string): RedisConnector {
  return class {
    readonly firstError: Error | undefined = undefined;
    #stream: BindingStream | null = null;

    connect(): Promise<BindingStream> {
      this.#stream = streamTo(binding, address);
      return Promise.resolve(this.#stream);
    }

    disconnect(): void {
      this.#stream?.end();
    }

    check(): boolean {
      return true;
    }
  };
}

export type RedisConnector = new (options: unknown) => {
  readonly firstError: Error | undefined;
  connect(): Promise<BindingStream>;
  disconnect(): void;
  check(): boolean;
};

interface Lock {
  releaseLock(): void;
}

export class BindingStream extends Duplex {
  connecting = true;
  readonly #binding: ConnectBinding;
  readonly #address: string;
  readonly #socket: ConnectedSocket;
  readonly #reader: ReturnType<ConnectedSocket["readable"]["getReader"]>;
  readonly #writer: ReturnType<ConnectedSocket["writable"]["getWriter"]>;

  constructor(binding: ConnectBinding, address: string) {
    super({ allowHalfOpen: true });
    this.#binding = binding;
    this.#address = address;
    this.#socket = binding.connect(address, { allowHalfOpen: true });
    this.#reader = this.#socket.readable.getReader();
    this.#writer = this.#socket.writable.getWriter();
    void this.#begin();
  }

  override _read(): void {
    void this.#readNext();
  }

  override _write(chunk: Buffer, _: string, callback: () => void): void {
    void this.#write(chunk, callback);
  }

  override _final(callback: () => void): void {
    void settled(this.#writer.close(), callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    void settled(this.#socket.close(), () => callback(error));
  }

  /** It is open, or opens. */
  connect(): this {
    return this;
  }

  /** As of `net.Socket`: `postgres` looks at it before it ends a connection. */
  get readyState(): "opening" | "open" | "closed" {
    if (this.destroyed) return "closed";
    return this.connecting ? "opening" : "open";
  }

  /** `postgres` keeps its own states there while it begins TLS: they change nothing. */
  set readyState(_: string) {}

  // What drivers do once the server has agreed to TLS, which the gateway speaks.

  /** `pg` calls it. */
  startTls(): this {
    return this;
  }

  /** `postgres` takes these from a socket of its own, and makes others of them. */
  readonly reader: Lock = { releaseLock: () => {} };
  readonly writer: Lock = this.reader;
  readonly raw: object = {
    startTls: () => {
      queueMicrotask(() => this.emit("secureConnect"));
      return {
        closed: new Promise(() => {}),
        readable: { getReader: () => this.reader },
        writable: { getWriter: () => ({ ...this.writer, ready: Promise.resolve() }) },
      };
    },
  };

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  /** The gateway closes a connection that is idle for too long. */
  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  async #begin(): Promise<void> {
    try {
      await this.#socket.opened;
      this.connecting = false;
      this.emit("connect");
    } catch (error) {
      await this.#fail(error);
    }
  }

  async #readNext(): Promise<void> {
    try {
      const { done, value } = await this.#reader.read();
      if (done) await this.#ended();
      else this.push(Buffer.from(value as Uint8Array));
    } catch (error) {
      await this.#fail(error);
    }
  }

  async #write(chunk: Buffer, callback: () => void): Promise<void> {
    try {
      await this.#writer.write(chunk);
    } catch {
      return this.#fail(null);
    }
    callback();
  }

  /** The other side ended first: if it did for a reason that the gateway knows, that is an error. */
  async #ended(): Promise<void> {
    const reason = this.writableEnded ? null : await this.#reason();
    if (reason === null) this.push(null);
    else this.destroy(reason);
  }

  async #fail(error: unknown): Promise<void> {
    if (this.destroyed) return;
    const known = error instanceof Error ? error : new Error("the connection was lost");
    this.destroy((await this.#reason()) ?? known);
  }

  /** workerd says only that a connection failed; the gateway says why. */
  async #reason(): Promise<ConnectError | null> {
    try {
      const answer = await this.#binding.fetch(
        `http://connect.countersign.invalid/${this.#address}`,
      );
      const code = answer.headers.get("countersign-failure");
      if (code === null) return null;
      const { error } = JSON.parse(await answer.text()) as {
        error: { message?: string; title: string };
      };
      return new ConnectError(code, error.message ?? error.title);
    } catch {
      return null;
    }
  }
}

/** What ends is over, whether or not it ended well. */
async function settled(work: Promise<unknown>, callback: () => void): Promise<void> {
  await work.catch(() => {});
  callback();
}
