import type { TLSSocket } from "node:tls";
import sasl from "pg/lib/crypto/sasl.js";
import utils from "pg/lib/crypto/utils.js";
import { serialize } from "pg-protocol";
import { Failure } from "../../failures/failures.ts";
import { LONGEST_MESSAGE, message, readError } from "./postgres-messages.ts";
import type { Opening } from "./protocol.ts";
import { ByteReader } from "./reader.ts";
import { visibleLine } from "../../terminal/visible.ts";

/**
 * Signs in as the configuration's user. What the server says afterwards is left unread.
 * @param startup the StartupMessage
 * @returns messages that are for the driver
 * @throws Failure `database_sign_in_…`, `database_protocol`, `origin_…`
 */
export async function signIn(tls: TLSSocket, startup: Buffer, opening: Opening): Promise<Buffer[]> {
  const server = new ByteReader(tls);
  const passed: Buffer[] = [];
  let held = 0;
  const answers = new Answers(tls, opening);
  tls.write(startup);
  for (let messages = 0; messages < MOST_MESSAGES; messages += 1) {
    const { type, body } = await nextMessage(server, tls, opening);
    if (type === "R") {
      if (await answers.answer(body)) return passed;
    } else if (type === "E") throw refused(body, opening);
    else if ((type === "v" || type === "N") && (held += body.length) <= LONGEST_MESSAGE) {
      passed.push(message(type, body));
    } else break;
  }
  throw notPostgres(opening);
}

/** Reads on after `signIn`, until the server takes queries. @throws Failure why it does not */
export async function untilReady(tls: TLSSocket, opening: Opening): Promise<void> {
  const server = new ByteReader(tls);
  for (let messages = 0; messages < MOST_PARAMETERS; messages += 1) {
    const { type, body } = await nextMessage(server, tls, opening);
    if (type === "Z") return;
    if (type === "E") throw refused(body, opening);
  }
  throw notPostgres(opening);
}

/** What a server says of itself before it takes queries is less. */
const MOST_PARAMETERS = 200;

/** While signing in: no way to do so takes as many. */
const MOST_MESSAGES = 32;

async function nextMessage(
  server: ByteReader,
  tls: TLSSocket,
  opening: Opening,
): Promise<{ readonly type: string; readonly body: Buffer }> {
  try {
    const head = await server.take(5);
    const length = head.readInt32BE(1) - 4;
    if (length < 0 || length > LONGEST_MESSAGE) throw notPostgres(opening);
    return { type: head.toString("latin1", 0, 1), body: await server.take(length) };
  } catch (error) {
    throw opening.failed(error as Error, tls);
  }
}

/** What is answered to the requests of a server that wants to know who it is. */
class Answers {
  readonly #tls: TLSSocket;
  readonly #opening: Opening;
  #session: ReturnType<typeof sasl.startSession> | null = null;
  #bound: TLSSocket | null = null;
  /** With SCRAM, the server proves that it knows the password: before that it is not believed. */
  #owesProof = false;

  constructor(tls: TLSSocket, opening: Opening) {
    this.#tls = tls;
    this.#opening = opening;
  }

  /** @returns whether the server is content */
  async answer(body: Buffer): Promise<boolean> {
    const { config } = this.#opening;
    const kind = body.length < 4 ? -1 : body.readInt32BE(0);
    const data = body.subarray(4);
    switch (kind) {
      case 0:
        if (this.#owesProof) throw unsupported("SASL was not finished", this.#opening);
        return true;
      case 3:
        this.#tls.write(serialize.password(this.#opening.password()));
        return false;
      case 5: {
        const password = this.#opening.password();
        const hash = await utils.postgresMd5PasswordHash(config.user, password, data);
        this.#tls.write(serialize.password(hash));
        return false;
      }
      case 10:
      case 11:
      case 12:
        await this.#scram(kind, data);
        return false;
      default:
        throw unsupported(`authentication ${kind}`, this.#opening);
    }
  }

  async #scram(kind: number, data: Buffer): Promise<void> {
    const text = data.toString("utf8");
    try {
      // Once: each time again would cost the gateway another key.
      if (kind === 10 && this.#session === null) {
        const mechanisms = text.split("\0").filter((name) => name !== "");
        // Bound to this TLS connection, where the server offers it.
        this.#bound = mechanisms.includes("SCRAM-SHA-256-PLUS") ? this.#tls : null;
        this.#session = sasl.startSession(mechanisms, this.#bound);
        this.#owesProof = true;
        const { mechanism, response } = this.#session;
        this.#tls.write(serialize.sendSASLInitialResponseMessage(mechanism, response));
      } else if (kind === 11 && this.#session !== null) {
        const session = this.#session;
        const derived = await this.#opening.derive(async () => {
          if (this.#tls.destroyed) return false;
          await sasl.continueSession(session, this.#opening.password(), text, this.#bound);
          return true;
        });
        if (derived) this.#tls.write(serialize.sendSCRAMClientFinalMessage(session.response));
      } else if (kind === 12 && this.#session !== null) {
        sasl.finalizeSession(this.#session, text);
        this.#owesProof = false;
      } else throw new Error("SASL out of order");
    } catch (error) {
      throw unsupported((error as Error).message, this.#opening);
    }
  }
}

function refused(body: Buffer, { config }: Opening): Failure {
  const { sqlState, message: said } = readError(body);
  return new Failure("database_sign_in_refused", {
    message: `${config.host}:${config.port} refused "${config.user}": ${said} (${sqlState})`,
    facts: { host: config.host, port: config.port, sqlState },
  });
}

function unsupported(what: string, { config }: Opening): Failure {
  return new Failure("database_sign_in_unsupported", {
    message: `${config.host}:${config.port}: ${visibleLine(what.slice(0, 200))}`,
    facts: { host: config.host, port: config.port },
  });
}

function notPostgres({ config }: Opening): Failure {
  return new Failure("database_protocol", {
    message: `${config.host}:${config.port} does not speak PostgreSQL's protocol`,
    facts: { host: config.host, port: config.port },
  });
}
