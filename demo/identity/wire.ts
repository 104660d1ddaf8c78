/** A connection for PostgreSQL's protocol: of node:net, or a Worker's `connect()`. */
export interface Duplex {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** The minimum of PostgreSQL's protocol that the demo needs: one simple query at a time. */
export class PostgresConnection {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #held = new Uint8Array(0);

  constructor({ readable, writable }: Duplex) {
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
  }

  /** @throws Error with the server's message */
  async start(user: string, database = "postgres"): Promise<void> {
    const parameters = encode(`user\0${user}\0database\0${database}\0\0`);
    await this.#send(null, new Uint8Array([0, 3, 0, 0, ...parameters]));
    await this.#answer();
  }

  /** @returns rows, each value as text. @throws Error with the server's message */
  async query(sql: string): Promise<(string | null)[][]> {
    await this.#send("Q", encode(`${sql}\0`));
    return this.#answer();
  }

  async #send(type: string | null, body: Uint8Array): Promise<void> {
    const head = new Uint8Array(type === null ? 4 : 5);
    if (type !== null) head[0] = type.charCodeAt(0);
    new DataView(head.buffer).setInt32(head.length - 4, body.length + 4);
    await this.#writer.write(new Uint8Array([...head, ...body]));
  }

  /** All messages until the server waits for the next query. */
  async #answer(): Promise<(string | null)[][]> {
    const rows: (string | null)[][] = [];
    let failure: string | null = null;
    for (;;) {
      const message = await this.#next();
      if (message === null) throw new Error(failure ?? "the server closed the connection");
      if (message.type === "D") rows.push(rowOf(message.body));
      if (message.type === "E") failure = errorOf(message.body);
      if (message.type !== "Z") continue;
      if (failure !== null) throw new Error(failure);
      return rows;
    }
  }

  /** Null: the connection ended. */
  async #next(): Promise<{ readonly type: string; readonly body: Uint8Array } | null> {
    for (;;) {
      const held = this.#held;
      if (held.length >= 5) {
        const end = 1 + new DataView(held.buffer, held.byteOffset).getInt32(1);
        if (held.length >= end) {
          this.#held = held.slice(end);
          return { type: String.fromCharCode(held[0]!), body: held.slice(5, end) };
        }
      }
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#held = new Uint8Array([...held, ...value]);
    }
  }
}

function rowOf(body: Uint8Array): (string | null)[] {
  const view = new DataView(body.buffer, body.byteOffset);
  const values: (string | null)[] = [];
  for (let at = 2; at < body.length;) {
    const length = view.getInt32(at);
    at += 4;
    values.push(length < 0 ? null : new TextDecoder().decode(body.subarray(at, at + length)));
    at += Math.max(length, 0);
  }
  return values;
}

/** `FATAL: certificate authentication failed for user "writer"` */
function errorOf(body: Uint8Array): string {
  const fields = new TextDecoder().decode(body).split("\0");
  const field = (code: string): string =>
    fields.find((one) => one.startsWith(code))?.slice(1) ?? "";
  return `${field("S")}: ${field("M")}`;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
