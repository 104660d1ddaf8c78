import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { DatabaseProtocol } from "../../src/contract/database.ts";
import { Failure } from "../../src/failures/failures.ts";
import type { DriverOpening } from "../../src/gateway/database/protocol.ts";
import { ByteReader } from "../../src/gateway/database/reader.ts";

/** A driver and a database server in memory, with the gateway between them. */
export interface TestOpening {
  readonly driver: Duplex;
  readonly reader: ByteReader;
  /** The server before TLS, and within it. */
  readonly clear: Duplex;
  readonly server: Duplex;
  /** The gateway's ends of both. */
  readonly socket: Socket;
  readonly tls: TLSSocket;
  readonly opening: DriverOpening & { derive: DriverOpening["derive"] };
  readonly dialled: () => number;
}

/** The database `orders` as `client`, whose password is `secret` unless another is named. */
export function testOpening(protocol: DatabaseProtocol, password = "secret"): TestOpening {
  const [driver, driverSocket] = pair();
  const [clear, socket] = pair() as [Duplex, Socket];
  const [server, tls] = pair() as [Duplex, TLSSocket];
  let dials = 0;
  const opening: TestOpening["opening"] = {
    config: { host: "db.example", port: 1234, database: "orders", user: "client" },
    bound: { databaseId: "d", protocol, database: "orders", user: "client" },
    password: () => password,
    timeout: 1_000,
    derive: (work) => work(),
    dial: () => {
      dials += 1;
      return Promise.resolve(socket);
    },
    handshake: (on) => {
      if (on !== socket) throw new Error("TLS begins on another connection");
      return Promise.resolve(tls);
    },
    failed: (error) =>
      error instanceof Failure ? error : new Failure("origin_closed", { cause: error }),
  };
  const reader = new ByteReader(driverSocket);
  return { driver, reader, clear, server, socket, tls, opening, dialled: () => dials };
}

function pair(): [Duplex, Duplex] {
  const both = duplexPair({ allowHalfOpen: true });
  for (const end of both) end.on("error", () => {});
  return both;
}

export async function bytes(stream: Duplex, count: number): Promise<Buffer> {
  for (;;) {
    const got = stream.read(count) as Buffer | null;
    if (got !== null) return got;
    await new Promise((resolve) => stream.once("readable", resolve));
  }
}
