import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Client, type ClientConfig } from "pg";
import { databasePasswordPlace } from "../../src/keys/places.ts";
import { Keyring } from "../../src/keys/seal.ts";
import type { BoundDatabase, DatabaseConfig } from "../../src/contract/database.ts";
import { masterKey, type TestGateway } from "./gateway.ts";

/** A configuration as the control plane passes it on. The password is `secret`. */
export function databaseConfig(overrides: Partial<DatabaseConfig> = {}): DatabaseConfig {
  const { accountId = "a", databaseId = "d" } = overrides;
  return {
    accountId,
    databaseId,
    name: "orders",
    protocol: "postgres",
    host: "localhost",
    port: 5432,
    database: "postgres",
    user: "client",
    sealedPassword: sealedPassword("secret", databaseId),
    certificateId: "c",
    authorities: null,
    verifyName: true,
    connectionLimit: 60,
    ...overrides,
  };
}

export function sealedPassword(
  password: string,
  databaseId = "d",
): DatabaseConfig["sealedPassword"] {
  return new Keyring(masterKey).seal(databasePasswordPlace("a", databaseId), password);
}

/** The database as the Worker sees it. */
export function boundDatabase(config: DatabaseConfig): BoundDatabase {
  const { databaseId, protocol, database, user } = config;
  return { databaseId, protocol, database, user };
}

/** Puts a configuration in force, and opens a binding to it. */
export async function bindDatabase(
  gateway: TestGateway,
  config: DatabaseConfig,
  bindingName = "DB",
): Promise<void> {
  await gateway.handle.setDatabase(config);
  await gateway.bind({ bindingName, certificateId: "", database: boundDatabase(config) });
}

/** Opens a connection as workerd does for a driver: CONNECT to a host that does not exist. */
export async function connectDatabase(gateway: TestGateway, bindingName = "DB"): Promise<Socket> {
  const connect = request({
    socketPath: gateway.socket({ bindingName }),
    method: "CONNECT",
    path: "0123456789abcdef0123456789abcdef.hyperdrive.local:5432",
    agent: false,
  });
  connect.end();
  const [response, socket, head] = (await once(connect, "connect")) as [
    IncomingMessage,
    Socket,
    Buffer,
  ];
  if (head.length > 0) socket.unshift(head);
  if (response.statusCode !== 200) throw new Error(`CONNECT: ${response.statusCode}`);
  return socket;
}

/** `pg`, as in a Worker, over a binding's socket. Errors between queries are collected in `errors`. */
export async function pgClient(
  gateway: TestGateway,
  options: ClientConfig = {},
  bindingName = "DB",
): Promise<Client & { readonly errors: Error[] }> {
  const socket = await connectDatabase(gateway, bindingName);
  const stream = Object.assign(socket, {
    connect: () => process.nextTick(() => socket.emit("connect")),
  });
  const client = new Client({
    user: "client",
    password: "made-up",
    database: "postgres",
    ssl: false,
    ...options,
    stream: () => stream,
  });
  const errors: Error[] = [];
  client.on("error", (error) => errors.push(error));
  return Object.assign(client, { errors });
}
