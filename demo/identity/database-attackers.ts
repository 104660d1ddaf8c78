import assert from "node:assert/strict";
import { Client } from "pg";
import { say } from "../steps.ts";
import type { Person } from "./callers.ts";
import { alertOf, forgedAs, withoutItsKey, type Pair } from "./forgery.ts";
import type { Stage } from "./stage.ts";

export interface AttackedDatabase {
  readonly host: string;
  readonly port: number;
}

/** The same at PostgreSQL, which verifies certificates itself: its own message, or the alert of its handshake. */
export async function attackDatabase(
  stage: Stage,
  { cert, key }: Person,
  database: AttackedDatabase,
): Promise<void> {
  const said = new Set<string>();
  const refused = async (what: string, expected: RegExp, pair?: Pair): Promise<void> => {
    const actual = await answerOf(stage, database, pair);
    say(`PostgreSQL: ${actual.slice(0, 60).padEnd(60)} ${what}`);
    assert.match(actual, expected, what);
    assert.ok(!said.has(actual), `${actual} was there before`);
    said.add(actual);
  };
  const forged = await forgedAs(stage, "a");
  await refused("no certificate", /valid client certificate/);
  await refused("a copied certificate without its key", /^decrypt_error$/, withoutItsKey(cert));
  await refused("another CA of the same name", /^unknown_ca$/, {
    cert: forged.chain,
    key: forged.key,
  });
  await refused("a person who may have no role", /certificate authentication failed/, {
    cert,
    key,
  });
}

async function answerOf(
  { authority }: Stage,
  { host, port }: AttackedDatabase,
  pair: Pair | undefined,
): Promise<string> {
  const ssl = { ca: authority.pem, servername: "localhost", ...pair };
  const client = new Client({ host, port, user: "writer", database: "postgres", ssl });
  client.on("error", () => {});
  try {
    await client.connect();
    return "let in";
  } catch (error) {
    const { message } = error as Error;
    return /SSL.*alert/s.test(message) ? await alertOf(Promise.reject(error)) : message;
  } finally {
    await client.end().catch(() => {});
  }
}
