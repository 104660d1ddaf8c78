import type { Credential } from "../../certificates/credential.ts";
import type { AccountTrust } from "../../contract/change-feed.ts";
import type { BoundDatabase, DatabaseConfig } from "../../contract/database.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";
import { IDENTITY, identityId } from "../../contract/identity.ts";
import { keyIn } from "../../contract/key-in.ts";
import { Failure } from "../../failures/failures.ts";
import { databasePasswordPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { parseTarget } from "../origin/destination.ts";
import type { Network } from "../origin/dial.ts";
import type { HandshakeTest } from "../handshake-test.ts";
import type { ConnectionObserver, Observer } from "../observe/observe.ts";
import { databaseTrust, type SecureContexts } from "../origin/trust.ts";
import { Places } from "./places.ts";
import type { DatabaseRoute, DatabaseSession } from "./session.ts";
import type { DatabaseRouter } from "./socket.ts";
import type { WorkerShares } from "../worker-shares.ts";

export interface DatabasesParts {
  readonly keyring: Keyring;
  readonly contexts: SecureContexts;
  /** @throws Failure if it cannot be presented, or not to this host */
  readonly credential: (accountId: string, certificateId: string, host: string) => Credential;
  readonly trust: (accountId: string) => AccountTrust;
  readonly network: (
    owner: Pick<GatewayBinding, "accountId" | "scriptName" | "bindingName">,
  ) => Network;
  readonly shares: Pick<WorkerShares, "connection">;
}

/** The databases that bindings lead to, and every connection to them. */
export class Databases {
  readonly #parts: DatabasesParts;
  readonly #configs = new Map<string, DatabaseConfig>();
  readonly #places = new Map<string, Places>();
  readonly #sessions = new Set<DatabaseSession>();

  constructor(parts: DatabasesParts) {
    this.#parts = parts;
  }

  set(config: DatabaseConfig): void {
    this.#configs.set(keyIn(config.accountId, config.databaseId), config);
  }

  remove(accountId: string, databaseId: string): void {
    const key = keyIn(accountId, databaseId);
    this.#configs.delete(key);
    this.#places.delete(key);
    for (const session of this.#sessions) {
      if (session.accountId === accountId && session.databaseId === databaseId)
        session.cut(new Failure("database_gone"));
    }
  }

  /** @throws Failure `database_gone` */
  config(accountId: string, databaseId: string): DatabaseConfig {
    const config = this.#configs.get(keyIn(accountId, databaseId));
    if (config !== undefined) return config;
    throw new Failure("database_gone", {
      message: `the Hyperdrive configuration ${databaseId} does not exist in account ${accountId}`,
      facts: { databaseId },
    });
  }

  /** What a connection of this Worker would be opened with now. @throws Failure */
  route(
    databaseId: string,
    owner: Pick<GatewayBinding, "accountId" | "scriptName" | "bindingName">,
  ): DatabaseRoute {
    const { accountId, scriptName } = owner;
    const config = this.config(accountId, databaseId);
    const { keyring, contexts, credential: credentialOf, trust, network } = this.#parts;
    const certificateId =
      config.certificateId === IDENTITY ? identityId(scriptName) : config.certificateId;
    const credential =
      certificateId === null ? null : credentialOf(accountId, certificateId, config.host);
    return {
      config,
      credential,
      trust: databaseTrust(config, credential, trust(accountId)),
      network: network(owner),
      contexts,
      places: this.#placesOf(config),
      password: () =>
        keyring.unseal(databasePasswordPlace(accountId, databaseId), config.sealedPassword),
    };
  }

  /** What its test is made with. @throws Failure */
  tested(
    databaseId: string,
    owner: Pick<GatewayBinding, "accountId" | "scriptName" | "bindingName">,
    signal: AbortSignal | undefined,
  ): HandshakeTest {
    const { config, credential, trust, network, contexts, password } = this.route(
      databaseId,
      owner,
    );
    const { protocol, host, port } = config;
    const target = parseTarget(`${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`);
    return {
      credential,
      trust,
      target,
      network: { ...network, signal },
      contexts,
      database: { config, password },
    };
  }

  router(binding: GatewayBinding, bound: BoundDatabase, observer: Observer): DatabaseRouter {
    const observers = new Map<string | null, ConnectionObserver>();
    return {
      route: () => this.route(bound.databaseId, binding),
      observer: (certificateId) => {
        let one = observers.get(certificateId);
        if (one === undefined) {
          one = observer.connections(binding, certificateId);
          observers.set(certificateId, one);
        }
        return one;
      },
      connection: () => this.#parts.shares.connection(binding),
      opened: (session) => this.#sessions.add(session),
      closed: (session) => this.#sessions.delete(session),
    };
  }

  sessions(): readonly DatabaseSession[] {
    return [...this.#sessions];
  }

  /** Ends the connections that present what `chosen` is true for. */
  cut(chosen: (credential: Credential) => boolean, what: (credential: Credential) => string): void {
    for (const session of this.#sessions) {
      const { credential } = session;
      if (credential === null || !chosen(credential)) continue;
      const { certificateId, version } = credential;
      session.cut(
        new Failure("origin_connection_cut", {
          message: `the connection to the database was cut: certificate ${certificateId} ${what(credential)}`,
          facts: { certificateId, version },
        }),
      );
    }
  }

  #placesOf({ accountId, databaseId }: DatabaseConfig): Places {
    const key = keyIn(accountId, databaseId);
    let places = this.#places.get(key);
    if (places === undefined) {
      places = new Places();
      this.#places.set(key, places);
    }
    return places;
  }
}
