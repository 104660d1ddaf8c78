import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Failure } from "../../failures/failures.ts";
import {
  CONNECT_WITH_DB,
  errorPacket,
  firstAnswer,
  LONGEST_PACKET,
  framed,
  PacketFollower,
  PLUGIN_AUTH,
  PLUGIN_AUTH_LENENC,
  PROTOCOL_41,
  readErrorPacket,
  readGreeting,
  readResponse,
  responsePacket,
  SECURE_CONNECTION,
  SSL,
  nulText,
  type DriverResponse,
  type Greeting,
} from "./mysql-packets.ts";
import {
  fromDriver,
  told,
  type DriverOpening,
  type Follower,
  type Opening,
  type Protocol,
} from "./protocol.ts";
import { ByteReader } from "./reader.ts";
import { visibleLine } from "../../terminal/visible.ts";

/**
 * MySQL and MariaDB. The server speaks first: its greeting goes to the driver without TLS and with
 * another scramble, and the gateway signs in with what it has. The driver's password is not asked.
 */
export const mysql: Protocol = {
  begins: "server",
  open: async (driver, opening) => {
    const socket = await opening.dial();
    const greeting = await readServer(socket, opening);
    driver.stream.write(framed(0, greeting.passed));
    try {
      const response = await fromDriver(driverResponse(driver), opening.timeout);
      refuseOther(response, opening);
      const tls = await startTls(socket, { greeting, response, opening });
      const ok = await signIn(tls, { greeting, response, opening });
      driver.stream.write(framed(2, ok));
      return tls;
    } catch (error) {
      socket.destroy();
      throw afterResponse(error);
    }
  },
  secure: async (opening) => {
    const socket = await opening.dial();
    const greeting = await readServer(socket, opening);
    const signing = { greeting, response: plainResponse(), opening };
    const tls = await startTls(socket, signing);
    return { tls, signIn: async () => void (await signIn(tls, signing)) };
  },
  follow: (): Follower => {
    const packets = new PacketFollower();
    return {
      see: (chunk) => packets.see(chunk),
      refusal: (failure, shown) =>
        packets.isBetween ? errorPacket(packets.sequence + 1, told(failure, shown)) : null,
    };
  },
  refusal: (failure, shown) => errorPacket(answered.has(failure) ? 2 : 0, told(failure, shown)),
};

function notDriver(): Failure {
  return new Failure("database_driver_protocol");
}

/** @throws Failure `database_driver_protocol`, or the driver's error */
async function driverResponse(driver: ByteReader): Promise<DriverResponse> {
  const { body } = await nextPacket(driver, notDriver);
  const response = readResponse(body);
  if (response === null) throw notDriver();
  return response;
}

/** Failures that come after the driver's first packet: its answer has another number then. */
const answered: WeakSet<Failure> = new WeakSet();

function afterResponse(error: unknown): unknown {
  if (error instanceof Failure) answered.add(error);
  return error;
}

interface SigningIn {
  readonly greeting: Greeting;
  readonly response: DriverResponse;
  readonly opening: Opening;
}

async function readServer(socket: Socket, opening: Opening): Promise<Greeting> {
  const { host, port } = opening.config;
  const timer = setTimeout(() => {
    const message = `${host}:${port} said nothing within ${opening.timeout} ms`;
    socket.destroy(new Failure("database_sign_in_timeout", { message, facts: { host, port } }));
  }, opening.timeout);
  try {
    const { body } = await nextPacket(new ByteReader(socket), () => notMysql(opening));
    if (body[0] === 0xff) throw refused(body, opening);
    const greeting = readGreeting(body);
    if (greeting === null) throw notMysql(opening);
    if ((greeting.capabilities & SSL) !== 0) return greeting;
    throw new Failure("origin_mysql_no_tls", {
      message: `${host}:${port} does not offer TLS to MySQL clients`,
      facts: { host, port },
    });
  } catch (error) {
    socket.destroy();
    if (error instanceof Failure) throw error;
    throw notMysql(opening, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Bare `USE` reaches others where the user may: the name is only what the binding begins with. */
function refuseOther({ database }: DriverResponse, { bound }: DriverOpening): void {
  if (database === "" || database === bound.database) return;
  throw new Failure("database_name_other", {
    message: `the driver asks for the database "${database.slice(0, 100)}", and the binding leads to "${bound.database}"`,
  });
}

/** A driver's that wishes for nothing. */
function plainResponse(): DriverResponse {
  const head = Buffer.alloc(32);
  head.writeUInt32LE(LONGEST_PACKET, 4);
  head[8] = UTF8;
  return { capabilities: PROTOCOL_41, head, database: "", attributes: Buffer.alloc(0) };
}

/** `utf8mb4_general_ci` */
const UTF8 = 45;

/** What the server is told of the driver's wishes, with what signing in needs. */
function capabilitiesOf({ greeting, response }: SigningIn): number {
  const wanted =
    (response.capabilities & ~PLUGIN_AUTH_LENENC) |
    CONNECT_WITH_DB |
    SSL |
    SECURE_CONNECTION |
    PLUGIN_AUTH;
  return wanted & greeting.capabilities;
}

async function startTls(socket: Socket, signing: SigningIn): Promise<TLSSocket> {
  const request = Buffer.from(signing.response.head);
  request.writeUInt32LE(capabilitiesOf(signing) >>> 0, 0);
  socket.write(framed(1, request));
  return await signing.opening.handshake(socket);
}

/** @returns the server's OK, as the driver may have it */
async function signIn(tls: TLSSocket, signing: SigningIn): Promise<Buffer> {
  const { greeting, response, opening } = signing;
  const { user, database } = opening.config;
  const server = new ByteReader(tls);
  const password = opening.password();
  // A server may begin with a plugin that only its other users have: it switches then.
  const known = firstAnswer(greeting.plugin, password, greeting.scramble);
  const plugin = known === null ? "mysql_native_password" : greeting.plugin;
  const answer = known ?? Buffer.alloc(0);
  const capabilities = capabilitiesOf(signing);
  tls.write(framed(2, responsePacket(response, { capabilities, user, database, answer, plugin })));
  for (let packets = 0; packets < MOST_PACKETS; packets += 1) {
    const { sequence, body } = await nextPacket(server, () => notMysql(opening)).catch(
      (error: unknown) => {
        throw opening.failed(error as Error, tls);
      },
    );
    const next = (bytes: Buffer): void => void tls.write(framed(sequence + 1, bytes));
    if (body[0] === 0x00) return body;
    if (body[0] === 0xff) throw refused(body, opening);
    if (body[0] === 0xfe) {
      const { value: other, next: at } = nulText(body, 1);
      const switched = firstAnswer(other, password, body.subarray(at, at + 20));
      if (switched === null) throw unsupported(other, opening);
      next(switched);
    } else if (body[0] === 0x01 && body[1] === FULL_AUTHENTICATION) {
      // In clear, within TLS to a server that was verified.
      next(Buffer.from(`${password}\0`));
    } else if (body[0] !== 0x01 || body[1] !== FAST_AUTHENTICATION) break;
  }
  throw notMysql(opening);
}

/** Of `caching_sha2_password`. */
const FAST_AUTHENTICATION = 3;
const FULL_AUTHENTICATION = 4;
/** While signing in: no way to do so takes as many. */
const MOST_PACKETS = 16;

async function nextPacket(
  reader: ByteReader,
  malformed: () => Failure,
): Promise<{ readonly sequence: number; readonly body: Buffer }> {
  const head = await reader.take(4);
  const length = head.readUIntLE(0, 3);
  if (length === 0 || length > LONGEST_PACKET) throw malformed();
  return { sequence: head[3]!, body: await reader.take(length) };
}

function refused(body: Buffer, { config }: Opening): Failure {
  const { host, port, user } = config;
  const { number, sqlState, message } = readErrorPacket(body);
  return new Failure("database_sign_in_refused", {
    message: `${host}:${port} refused "${user}": ${message} (${number}, ${sqlState})`,
    facts: { host, port, sqlState },
  });
}

function unsupported(plugin: string, { config }: Opening): Failure {
  const { host, port } = config;
  return new Failure("database_sign_in_unsupported", {
    message: `${host}:${port} asks for the plugin "${visibleLine(plugin.slice(0, 100))}"`,
    facts: { host, port },
  });
}

function notMysql({ config }: Opening, cause?: unknown): Failure {
  const { host, port } = config;
  return new Failure("database_protocol", {
    message: `${host}:${port} does not speak MySQL's protocol`,
    facts: { host, port },
    cause,
  });
}
