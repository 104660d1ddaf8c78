import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { TestAuthority } from "./pki.ts";

export const frames = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  GOAWAY: 7,
} as const;
export const flags = { NONE: 0, ACK: 1, END_STREAM: 1, END_HEADERS: 4 } as const;

export function frame(type: number, bits: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(bits, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, i * 4);
  return bytes;
}

/** `:status 200`, with a Content-Length if one is given. */
export function okHead(length?: number): Buffer {
  const value = String(length);
  return length === undefined
    ? Buffer.from([0x88])
    : Buffer.from([0x88, 0x0f, 0x0d, value.length, ...Buffer.from(value)]);
}

export interface RawConnection {
  readonly socket: TLSSocket;
  /** Counts from 1. */
  readonly number: number;
  send(type: number, bits: number, stream: number, payload?: Uint8Array): void;
}

export interface RawHttp2Origin extends AsyncDisposable {
  readonly url: string;
  readonly connections: () => number;
}

export type OnFrame = (
  connection: RawConnection,
  got: { readonly type: number; readonly bits: number; readonly stream: number },
) => void;

/** An HTTP/2 origin that sends the frames it is told to, correct or not. */
export async function rawHttp2Origin(
  authority: TestAuthority,
  onFrame: OnFrame,
): Promise<RawHttp2Origin> {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const sockets = new Set<TLSSocket>();
  let connections = 0;
  const server = createServer({ key, cert: chain, ALPNProtocols: ["h2"] }, (socket) => {
    sockets.add(socket);
    connections += 1;
    const connection: RawConnection = {
      socket,
      number: connections,
      send: (type, bits, stream, payload = new Uint8Array()) => {
        if (socket.writable) socket.write(frame(type, bits, stream, payload));
      },
    };
    connection.send(frames.SETTINGS, flags.NONE, 0);
    let unread = Buffer.alloc(0);
    let preface = PREFACE;
    socket
      .on("error", () => {})
      .on("data", (chunk: Buffer) => {
        unread = Buffer.concat([unread, chunk]);
        if (unread.length < preface) return;
        unread = unread.subarray(preface);
        preface = 0;
        while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
          const [type, bits] = [unread.readUInt8(3), unread.readUInt8(4)];
          const stream = unread.readUInt32BE(5) & 0x7fffffff;
          unread = unread.subarray(9 + unread.readUIntBE(0, 3));
          if (type === frames.SETTINGS && bits === 0)
            connection.send(frames.SETTINGS, flags.ACK, 0);
          onFrame(connection, { type, bits, stream });
        }
      });
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Bytes of `PRI * HTTP/2.0 …`. */
const PREFACE = 24;
