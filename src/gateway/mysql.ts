import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Failure } from "../failures/failures.ts";
import { readExactly, readable } from "./clear.ts";
import { visibleLine } from "../terminal/visible.ts";
import type { Destination } from "./origin/destination.ts";
import { framed } from "./database/mysql-packets.ts";
import { clearFailure, secondTls, TLS_HANDSHAKE } from "./postgres.ts";

/** What its packets need of the Worker's side. */
export interface MysqlClient {
  readonly socket: Duplex;
  /** The Worker's `connect()` succeeds now. */
  accept(): void;
  /** How a failure is told to the driver from now on. Null: not at all. */
  tell: ((failure: Failure) => Buffer) | null;
}

const CLIENT_SSL = 0x0800;
const CLIENT_PROTOCOL_41 = 0x0200;
/** Bytes of the answer that a request for TLS repeats. */
const SSL_REQUEST = 32;
const MOST_PACKET = 65_536;

/**
 * Makes MySQL's switch to TLS for a driver that does not know of it, with a server that requires
 * it. The server greets, the driver answers; its answer is sent within TLS, after a request for TLS
 * that the gateway puts in between. Until the server has let the driver in, packets are therefore
 * numbered one higher on the server's side.
 */
export class MysqlSwitch {
  readonly #client: MysqlClient;
  readonly #destination: Destination;
  readonly #timeout: number;
  #greeting: Packet | null = null;
  #answer: Packet | null = null;

  constructor(client: MysqlClient, destination: Destination, timeout: number) {
    this.#client = client;
    this.#destination = destination;
    this.#timeout = timeout;
  }

  /** Waits for the greeting. False: none came within `ms`, and nothing was read. @throws Failure */
  async greeted(socket: Socket, ms: number): Promise<boolean> {
    try {
      await readable([socket], AbortSignal.timeout(ms));
    } catch (error) {
      if ((error as Error).name === "TimeoutError") return false;
      throw clearFailure(error as Error, this.#destination);
    }
    this.#greeting = await this.#read(socket);
    if (this.#greeting.payload[0] === PROTOCOL_10) return true;
    throw this.#refused(this.#greeting.payload);
  }

  /** Hands the greeting to the driver, and asks the server for TLS in the driver's words. @throws Failure */
  async ask(socket: Socket): Promise<void> {
    const { host, port } = this.#destination;
    const { payload } = this.#greeting!;
    if ((capabilities(payload) & CLIENT_SSL) === 0) {
      throw new Failure("origin_mysql_no_tls", {
        message: `${host}:${port} does not offer TLS to MySQL clients`,
        facts: { host, port },
      });
    }
    this.#client.accept();
    this.#client.socket.write(framed(0, this.#greeting!.payload));
    const answer = await this.#readAnswer();
    this.#answer = answer;
    if (!this.#driverAsks) this.#client.tell = (failure) => mysqlError(failure, 2);
    const request = Buffer.from(answer.payload.subarray(0, SSL_REQUEST));
    request.writeUInt32LE((request.readUInt32LE(0) | CLIENT_SSL) >>> 0, 0);
    socket.write(framed(1, request));
  }

  /** Sends the driver's answer within TLS. Resolves when the driver was let in, or one side is over. */
  async signIn(upstream: Duplex): Promise<void> {
    const client = this.#client.socket;
    if (this.#driverAsks) {
      const next = await readExactly(client, 1);
      if (next === null) return;
      if (next[0] === TLS_HANDSHAKE) throw secondTls();
      client.unshift(next);
      this.#client.tell = (failure) => mysqlError(failure, 3);
      return;
    }
    const payload = Buffer.from(this.#answer!.payload);
    payload.writeUInt32LE((payload.readUInt32LE(0) | CLIENT_SSL) >>> 0, 0);
    upstream.write(framed(2, payload));
    if (!(await renumber(client, upstream))) return;
    // In answer to its first command.
    this.#client.tell = (failure) => mysqlError(failure, 1);
  }

  /** A driver whose `ssl` is on sends the request for TLS itself: nothing is put in between. */
  get #driverAsks(): boolean {
    const { payload } = this.#answer!;
    return payload.length === SSL_REQUEST && (payload.readUInt32LE(0) & CLIENT_SSL) !== 0;
  }

  async #readAnswer(): Promise<Packet> {
    const answer = await readPacket(this.#client.socket, AbortSignal.timeout(this.#timeout)).catch(
      () => null,
    );
    if (
      answer === null ||
      answer.sequence !== 1 ||
      answer.payload.length < SSL_REQUEST ||
      (answer.payload.readUInt32LE(0) & CLIENT_PROTOCOL_41) === 0
    ) {
      throw new Failure("connect_protocol_malformed");
    }
    return answer;
  }

  async #read(socket: Socket): Promise<Packet> {
    let packet: Packet | null;
    try {
      packet = await readPacket(socket, AbortSignal.timeout(this.#timeout));
    } catch (error) {
      throw clearFailure(error as Error, this.#destination);
    }
    // What comes with the greeting was not sent by a server that waits for an answer.
    if (packet !== null && packet.sequence === 0 && socket.readableLength === 0) return packet;
    throw this.#refused(Buffer.alloc(0));
  }

  #refused(payload: Buffer): Failure {
    const { host, port } = this.#destination;
    const said = payload[0] === ERROR ? payload.subarray(3, 300).toString("utf8") : "";
    const why = said === "" ? "" : `: ${visibleLine(said)}`;
    return new Failure("origin_mysql_refused", {
      message: `${host}:${port} did not greet as MySQL does${why}`,
      facts: { host, port },
    });
  }
}

interface Packet {
  readonly sequence: number;
  readonly payload: Buffer;
}

const PROTOCOL_10 = 10;
const ERROR = 0xff;
const OK = 0x00;

/** Null: it ended, or the packet is longer than any of a session's beginning. */
async function readPacket(socket: Duplex, signal: AbortSignal): Promise<Packet | null> {
  const head = await readExactly(socket, 4, signal);
  if (head === null) return null;
  const length = head.readUIntLE(0, 3);
  if (length === 0 || length > MOST_PACKET) return null;
  const payload = await readExactly(socket, length, signal);
  return payload === null ? null : { sequence: head[3]!, payload };
}

/** The lower half of what a greeting says that its server can do. 0: it says nothing. */
function capabilities(greeting: Buffer): number {
  const end = greeting.indexOf(0, 1);
  // After the version: the thread (4), the first part of the challenge (8) and a zero.
  const at = end + 14;
  return end === -1 || at + 2 > greeting.length ? 0 : greeting.readUInt16LE(at);
}

/** Passes packets on with other numbers until the server has let the driver in or not. False: one side is over. */
function renumber(client: Duplex, upstream: Duplex): Promise<boolean> {
  return new Promise((fulfil) => {
    const up = new Numbers(1);
    const down = new Numbers(-1);
    // Neither side is read faster than the other one reads.
    const fromClient = (): void => {
      while (!upstream.writableNeedDrain) {
        const chunk = client.read() as Buffer | null;
        if (chunk === null) return;
        up.shift(chunk);
        upstream.write(chunk);
      }
    };
    const fromServer = (): void => {
      while (!down.decided && !client.writableNeedDrain) {
        const chunk = upstream.read() as Buffer | null;
        if (chunk === null) return;
        down.shift(chunk);
        client.write(chunk);
      }
      if (down.decided) over();
    };
    const over = (): void => {
      client.off("readable", fromClient).off("drain", fromServer);
      upstream.off("readable", fromServer).off("drain", fromClient);
      for (const socket of [client, upstream]) {
        for (const event of ENDS) socket.off(event, over);
      }
      fulfil(down.decided);
    };
    client.on("readable", fromClient).on("drain", fromServer);
    upstream.on("readable", fromServer).on("drain", fromClient);
    for (const socket of [client, upstream]) {
      for (const event of ENDS) socket.on(event, over);
    }
    if (client.destroyed || upstream.destroyed) over();
    fromClient();
    fromServer();
  });
}

const ENDS = ["end", "close", "error"] as const;

/** Changes the numbers of packets in the pieces that they come in. */
export class Numbers {
  readonly #by: number;
  /** Of the packet's head: bytes seen. */
  #head = 0;
  #length = 0;
  #left = 0;
  #first = true;
  /** A packet has come that says OK or an error. What follows keeps its numbers. */
  decided = false;

  constructor(by: number) {
    this.#by = by;
  }

  shift(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.decided;) {
      if (this.#left > 0) {
        if (this.#first) this.#kind = chunk[at]!;
        this.#first = false;
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        if (this.#left === 0) this.#end();
        continue;
      }
      if (this.#head < 3) this.#length += chunk[at]! << (8 * this.#head);
      else {
        chunk[at] = (chunk[at]! + this.#by) & 0xff;
        this.#left = this.#length;
        this.#length = 0;
        this.#first = true;
      }
      this.#head = (this.#head + 1) % 4;
      at += 1;
    }
  }

  #kind = -1;

  #end(): void {
    this.decided = this.#by < 0 && (this.#kind === OK || this.#kind === ERROR);
  }
}

/** A failure as a MySQL server tells it. */
export function mysqlError({ code, message, fix }: Failure, sequence: number): Buffer {
  const text = Buffer.from(`#08S01${code}: ${message}. ${fix}`).subarray(0, 4_000);
  // ER_HANDSHAKE_ERROR
  const head = Buffer.from([ERROR, 0, 0]);
  head.writeUInt16LE(1043, 1);
  return framed(sequence, Buffer.concat([head, text]));
}
