import { createSecureContext } from "node:tls";
import { startSidecar, type KeyPair, type Sidecar } from "countersign-origin/sidecar";
import { SteadyRequest } from "../forward/steady-request.ts";
import { withinPipeline } from "../network/pipelined.ts";
import { StalledReaders } from "../network/stalled-readers.ts";
import { TlsFloods } from "../network/tls-floods.ts";
import { listenFailure } from "../network/listen-failure.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../terminal/io.ts";
import { StopSignal } from "../terminal/stop-signal.ts";
import { readDestination, readListen } from "./origin-options.ts";
import { limit } from "./start-numbers.ts";
import { fileFollower, openTrust, type TrustFlags } from "./origin-trust.ts";

export interface ServeFlags extends TrustFlags {
  readonly listen: string;
  readonly cert: string;
  readonly key: string;
  readonly to: string;
  readonly clientStalled: string;
  readonly json?: true;
}

/** Runs the sidecar until a signal arrives. @throws Failure if it cannot start */
export async function serveOrigin(io: Io, flags: ServeFlags): Promise<void> {
  const listen = readListen(flags.listen);
  const to = readDestination(flags.to);
  const log = (message: string): void => writeLine(io.stderr, message);
  const floods = new TlsFloods();
  const stalled = limit("--client-stalled", flags.clientStalled, [1, 86_400]) * 1000;
  // What a raw service sends may wait for a person who has its client's screen full.
  const readers = new StalledReaders(to.protocol === "http" ? stalled : 0);
  using stop = new StopSignal();
  await using stack = new AsyncDisposableStack();
  const followed = fileFollower({ io, stack, log });
  const trust = await openTrust({ io, flags, stack, log, followed });
  let sidecar: Sidecar | undefined;
  let pair: KeyPair | undefined;
  await followed([flags.cert, flags.key], ([cert, key]) => {
    const read: KeyPair = { cert: cert!, key: key! };
    createSecureContext({ ...read });
    sidecar?.renew(read);
    pair = read;
  });
  sidecar = stack.use(
    await startSidecar({
      listen,
      to,
      trust,
      pair: pair!,
      log,
      incoming: SteadyRequest,
      bounded: withinPipeline,
      secured: (socket) => {
        floods.watch(socket);
        readers.connection(socket);
      },
    }).catch((error: unknown) => {
      throw listenFailure("the sidecar", listen, error as NodeJS.ErrnoException);
    }),
  );
  if (flags.json) writeJson(io.stdout, { ready: true, url: sidecar.url });
  else {
    const colors = colorsFor(io, io.stdout);
    writeLine(io.stdout, `${colors.green("✔")} ${colors.bold(sidecar.url)} before ${flags.to}`);
  }
  await stop.came;
}
