import type { TLSSocket } from "node:tls";
import { Failure } from "../../failures/failures.ts";
import { startPostgresTls } from "../postgres.ts";
import {
  AUTHENTICATION_OK,
  CANCEL_REQUEST,
  errorResponse,
  GSS_REQUEST,
  LONGEST_STARTUP,
  MessageFollower,
  readParameters,
  SSL_REQUEST,
  startupMessage,
  type Parameters,
} from "./postgres-messages.ts";
import { signIn, untilReady } from "./postgres-sign-in.ts";
import {
  fromDriver,
  told,
  type DriverOpening,
  type Follower,
  type Opening,
  type Protocol,
} from "./protocol.ts";
import type { ByteReader } from "./reader.ts";

/** PostgreSQL, protocol 3: the gateway signs in, and the driver finds an open session. */
export const postgres: Protocol = {
  begins: "driver",
  open: async (driver, opening) => {
    const first = await fromDriver(firstPacket(driver), opening.timeout);
    if (first.code === CANCEL_REQUEST) {
      await passCancel(first.packet, opening);
      return null;
    }
    const parameters = first.code >>> 16 === 3 ? readParameters(first.packet.subarray(8)) : null;
    if (parameters === null) throw new Failure("database_driver_protocol");
    refuseOther(parameters, opening);
    const tls = await connect(opening);
    const { user, database } = opening.config;
    const own = new Map([...parameters, ["user", user], ["database", database]]);
    try {
      const passed = await signIn(tls, startupMessage(first.code, own), opening);
      driver.stream.write(Buffer.concat([...passed, AUTHENTICATION_OK]));
      return tls;
    } catch (error) {
      tls.destroy();
      throw error;
    }
  },
  secure: async (opening) => {
    const tls = await connect(opening);
    const { user, database } = opening.config;
    const own = new Map([
      ["user", user],
      ["database", database],
    ]);
    return {
      tls,
      signIn: async () => {
        await signIn(tls, startupMessage(VERSION_3, own), opening);
        // Only now does the server say that the database does not exist.
        await untilReady(tls, opening);
      },
    };
  },
  follow: (): Follower => {
    const messages = new MessageFollower();
    return {
      see: (chunk) => messages.see(chunk),
      // A server that ends a session says so itself.
      refusal: (failure, shown) =>
        messages.isBetween && messages.type !== "E" ? errorResponse(told(failure, shown)) : null,
    };
  },
  refusal: (failure, shown) => errorResponse(told(failure, shown)),
};

/** Of the protocol. */
const VERSION_3 = 3 << 16;

interface FirstPacket {
  /** The version, or what stands in its place. */
  readonly code: number;
  readonly packet: Buffer;
}

/** The gateway does TLS: a driver that asks for it is told that there is none, and goes on without. */
async function firstPacket(driver: ByteReader): Promise<FirstPacket> {
  for (let asked = 0; asked < 3; asked += 1) {
    const head = await driver.take(8);
    const length = head.readInt32BE(0);
    const code = head.readInt32BE(4);
    if (length < 8 || length > LONGEST_STARTUP) throw new Failure("database_driver_protocol");
    const packet = Buffer.concat([head, await driver.take(length - 8)]);
    if (code !== SSL_REQUEST && code !== GSS_REQUEST) return { code, packet };
    driver.stream.write("N");
  }
  throw new Failure("database_driver_protocol");
}

/** One that names no database means the one of its user's name, by the protocol. */
function refuseOther(parameters: Parameters, { bound }: DriverOpening): void {
  const database = parameters.get("database") ?? bound.database;
  if (database === bound.database) return;
  throw new Failure("database_name_other", {
    message: `the driver asks for the database "${database.slice(0, 100)}", and the binding leads to "${bound.database}"`,
  });
}

async function connect(opening: Opening): Promise<TLSSocket> {
  const socket = await opening.dial();
  const { host, port } = opening.config;
  await startPostgresTls(socket, { host, port }, opening.timeout);
  return await opening.handshake(socket);
}

/** Process and secret are the server's own: the session's driver was told them. */
async function passCancel(packet: Buffer, opening: Opening): Promise<void> {
  const tls = await connect(opening);
  tls.on("error", () => {});
  tls.end(packet);
  // The server closes when it has passed the signal on.
  tls.resume();
  await new Promise<void>((fulfil) => tls.once("close", () => fulfil()));
}
