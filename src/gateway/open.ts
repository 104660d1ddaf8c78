import { performance } from "node:perf_hooks";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { atOnce, destroyedBy, dial, type Network } from "./origin/dial.ts";
import { handshake } from "./origin/handshake.ts";
import type { Observer } from "./observe/observe.ts";
import type { GatewayOptions } from "../contract/gateway-options.ts";
import { presentedOf } from "./origin/classify.ts";
import type { BeforeHandshake, Open, PoolScope } from "./origin/pool.ts";
import type { SecureContexts } from "./origin/trust.ts";
import { Failure } from "../failures/failures.ts";

export interface OpenerDependencies {
  /** Asked for each connection: the policy may have changed. */
  readonly network: (scope: PoolScope) => Network;
  readonly contexts: SecureContexts;
  readonly options: GatewayOptions;
  readonly observer: Observer;
}

/** Opens connections to real origins: name, address, TCP, TLS. */
export function originOpener(dependencies: OpenerDependencies): Open {
  const { network, contexts, options, observer } = dependencies;
  return async (scope, { protocols, session, onSession, before, signal }) => {
    const { destination, credential, trust } = scope;
    const startedAt = performance.now();
    try {
      const shake = async (ticket: Buffer | undefined): Promise<TLSSocket> => {
        const raw = protocols.length === 0;
        const { turn = atOnce, ...rest } = network(scope);
        const socket = await dial(destination, { ...rest, signal }, raw);
        if (before !== undefined) await inTheClear(socket, before, signal);
        const shaken = (): Promise<TLSSocket> =>
          handshake(socket, {
            destination,
            context: contexts.get(credential, trust, destination.host),
            spiffe: trust.spiffe,
            presented: presentedOf(credential),
            protocols,
            session: ticket,
            onSession,
            timeout: options.timeouts.handshake,
            signal,
          });
        return await turn(destination, shaken, signal).catch((error: unknown) => {
          // One that was called off before its turn.
          socket.destroy();
          throw error;
        });
      };
      let resumable = true;
      const tls = await shake(session).catch(async (error: unknown) => {
        // No request was sent yet: a handshake may be made again, whatever the method is.
        if (session === undefined || !mayBeOfTheSession(error)) throw error;
        resumable = false;
        return await shake(undefined);
      });
      network(scope).floods?.watch(tls);
      const connection = {
        stream: tls,
        tlsVersion: tls.getProtocol(),
        // Empty unless the server asked for a certificate: it names what it verifies with. A
        // resumed session was asked when it began.
        asked: tls.isSessionReused() || tls.getSharedSigalgs().length > 0,
        resumable,
        resumed: tls.isSessionReused(),
      };
      observer.connected(scope, {
        ms: performance.now() - startedAt,
        tlsVersion: connection.tlsVersion,
        resumed: connection.resumed,
        asked: connection.asked,
      });
      return connection;
    } catch (error) {
      if (error instanceof Failure) observer.handshakeFailed(scope, error);
      throw error;
    }
  };
}

/** What ends a connection meanwhile is told to the one who reads. */
function ignore(): void {}

async function inTheClear(
  socket: Socket,
  before: BeforeHandshake,
  signal: AbortSignal,
): Promise<void> {
  socket.on("error", ignore);
  const callOff = destroyedBy(signal, socket);
  try {
    await before(socket);
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  } finally {
    callOff();
  }
  socket.off("error", ignore);
}

/** Not a verdict of ours on the origin, and not a matter of the network. */
function mayBeOfTheSession(error: unknown): boolean {
  return (
    error instanceof Failure &&
    /^origin_(?:handshake_failed|handshake_reset|protocol_version|closed_first_read|refused_certificate_.+|failed)$/.test(
      error.code,
    )
  );
}
