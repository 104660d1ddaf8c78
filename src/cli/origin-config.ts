import { execFile } from "node:child_process";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { parseAuthorities, type Trust } from "countersign-origin/sidecar";
import { revokedSerials } from "../certificates/revocation-list.ts";
import { Failure } from "../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../terminal/io.ts";
import { StopSignal } from "../terminal/stop-signal.ts";
import type { OriginServer, OriginState } from "./origin-config/server.ts";
import { servers } from "./origin-config/servers.ts";
import { malformed, readDestination, readListen } from "./origin-options.ts";
import {
  fileFailure,
  fileFollower,
  openTrust,
  platformOf,
  type TrustFlags,
} from "./origin-trust.ts";

export interface ConfigFlags extends TrustFlags {
  readonly listen: string;
  readonly cert: string;
  readonly key: string;
  readonly to: string;
  readonly serverName?: string;
  readonly crl?: string;
  readonly write?: string;
  readonly follow?: true;
  readonly exec?: string;
  readonly json?: true;
}

/** ms between two requests for a CRL; each CRL is valid for a day. */
const CRL_EVERY = 3_600_000;

/** Prints or writes a server's configuration, and with `--follow` updates it when the trust changes. */
export async function configureOrigin(io: Io, name: string, flags: ConfigFlags): Promise<void> {
  const server = servers[name]!;
  const fixed = await fixedState(io, server, flags);
  const log = (message: string): void => writeLine(io.stderr, message);
  await using stack = new AsyncDisposableStack();
  const surroundings = { io, stack, log };
  const followed = fileFollower(surroundings);
  const trust = await openTrust({ ...surroundings, flags, followed });
  const revocations = await openRevocations(server, flags, trust, followed);
  const render = async (): Promise<string> => {
    const { authorities, policy } = trust.state;
    if (policy === null) throw malformed(`there is no policy "${flags.policy}" yet`);
    const { revoked, crl } = await revocations();
    return server.render({ ...fixed, authorities, policy, revoked, crl });
  };
  if (flags.write === undefined) {
    const text = await render();
    if (flags.json) writeJson(io.stdout, { server: name, file: server.file, configuration: text });
    else io.stdout.write(text);
    return;
  }
  const folder = resolve(io.cwd, flags.write);
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw fileFailure([flags.write!], error);
  });
  using signal = flags.follow ? new StopSignal() : null;
  const write = writer({ folder, server, trust, render });
  await write();
  if (flags.exec !== undefined) await run(flags.exec, folder);
  if (!flags.json) {
    writeLine(io.stdout, `${colorsFor(io, io.stdout).green("✔")} ${join(folder, server.file)}`);
  } else writeJson(io.stdout, { ready: true, file: join(folder, server.file) });
  if (!signal) return;
  const stop = keepUp({ trust, write, exec: flags.exec, folder, log, isTimed: server.needsCrl });
  await signal.came;
  await stop();
}

type FixedState = Omit<OriginState, "authorities" | "policy" | "revoked" | "crl">;

async function fixedState(io: Io, server: OriginServer, flags: ConfigFlags): Promise<FixedState> {
  const to = readDestination(flags.to);
  if (to.protocol !== "http") {
    throw malformed("a server is configured for HTTP: --to http://host:port");
  }
  const isPlatform = platformOf(flags) !== undefined;
  for (const [flag, isThere] of [
    ["--follow", flags.follow],
    ["--exec", flags.exec],
  ] as const) {
    if (isThere && flags.write === undefined) throw malformed(`${flag} needs --write FOLDER`);
  }
  if (server.needsBundle && isPlatform && flags.write === undefined) {
    throw malformed("this server reads its CAs from a file: say where with --write FOLDER");
  }
  if (flags.serverName !== undefined && !/^[A-Za-z0-9.*_-]{1,253}$/.test(flags.serverName)) {
    throw malformed(`--server-name "${flags.serverName}" is not a host name`);
  }
  for (const path of [flags.cert, flags.key, flags.trust]) {
    if (/[\n\r\0]/.test(path)) throw malformed("a path has a line break in it");
  }
  return {
    listen: readListen(flags.listen),
    to,
    serverName: flags.serverName,
    cert: resolve(io.cwd, flags.cert),
    key: resolve(io.cwd, flags.key),
    bundleFile:
      flags.write === undefined
        ? resolve(io.cwd, flags.trust)
        : join(resolve(io.cwd, flags.write), BUNDLE),
    account: flags.account,
    sidecar: sidecarCommand(flags),
  };
}

const BUNDLE = "countersign-bundle.pem";

function sidecarCommand(flags: ConfigFlags): string {
  const names = ["listen", "cert", "key", "trust", "api", "account", "policy", "to"] as const;
  const words = names.flatMap((name) => {
    const value = flags[name];
    if (value === undefined) return [];
    return [
      `--${name}`,
      /^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll(/['\n\r]/g, "")}'`,
    ];
  });
  return `countersign origin serve ${words.join(" ")}`;
}

type Revocations = () => Promise<Pick<OriginState, "revoked" | "crl">>;

/** Reads revocations from a CRL file or from the platform. */
async function openRevocations(
  server: OriginServer,
  flags: ConfigFlags,
  trust: Trust,
  followed: (names: readonly string[], take: (texts: string[]) => void) => Promise<void>,
): Promise<Revocations> {
  const api = platformOf(flags);
  if (flags.crl !== undefined) {
    let held = { revoked: [] as readonly string[], crl: "" };
    await followed([flags.crl], ([crl]) => {
      held = { revoked: revokedSerials(crl!), crl: crl! };
      // Tells listeners, as after any other change.
      trust.replace({});
    });
    return () => Promise.resolve(held);
  }
  return async () => ({
    revoked: [...trust.state.revoked].toSorted(),
    crl: api !== undefined && server.needsCrl ? await fetchCrl(api, flags.account!) : null,
  });
}

async function fetchCrl(api: string, account: string): Promise<string> {
  const url = `${api}/accounts/${encodeURIComponent(account)}/countersign/identity/crl.pem`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new TypeError(`the platform answers ${answer.status}`);
    return await answer.text();
  } catch (error) {
    throw fileFailure([url], error);
  }
}

interface WriterOptions {
  readonly folder: string;
  readonly server: OriginServer;
  readonly trust: Trust;
  readonly render: () => Promise<string>;
}

/** Returns a function that writes changed files, each completely, and returns whether any has changed. */
function writer({ folder, server, trust, render }: WriterOptions): () => Promise<boolean> {
  const put = async (name: string, text: string): Promise<boolean> => {
    const file = join(folder, name);
    const before = await readFile(file, "utf8").catch(() => null);
    if (before === text) return false;
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
    return true;
  };
  return async () => {
    const text = await render();
    const bundle = trust.state.authorities.flatMap((pem) => parseAuthorities(pem)).join("\n");
    const isNewBundle = server.needsBundle && (await put(BUNDLE, `${bundle}\n`));
    return (await put(server.file, text)) || isNewBundle;
  };
}

interface KeepUpOptions {
  readonly trust: Trust;
  readonly write: () => Promise<boolean>;
  readonly exec: string | undefined;
  readonly folder: string;
  readonly log: (message: string) => void;
  readonly isTimed: boolean;
}

/**
 * Updates the files after each change of trust. A failed update is tried again, and the server keeps its configuration.
 * @returns a function that stops it
 */
function keepUp(options: KeepUpOptions): () => Promise<void> {
  const { trust, write, exec, folder, log, isTimed } = options;
  let wake = Promise.withResolvers<void>();
  let isStopped = false;
  const told = trust.onChange(() => wake.resolve());
  const timer = isTimed ? setInterval(() => wake.resolve(), CRL_EVERY) : undefined;
  const running = (async () => {
    let isPending = false;
    for (let failures = 0; ;) {
      if (failures === 0) await wake.promise;
      else
        await Promise.race([
          wake.promise,
          wait(Math.min(250 * 2 ** failures, 30_000), null, { ref: false }),
        ]);
      if (isStopped) return;
      wake = Promise.withResolvers<void>();
      try {
        if (await write()) isPending = true;
        if (isPending && exec !== undefined) await run(exec, folder);
        isPending = false;
        failures = 0;
      } catch (error) {
        failures++;
        log(
          `not taken over, it is tried again: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  })();
  return async () => {
    isStopped = true;
    told();
    clearInterval(timer);
    wake.resolve();
    await running;
  };
}

const execute = promisify(execFile);

async function run(command: string, folder: string): Promise<void> {
  await execute("/bin/sh", ["-c", command], { cwd: folder, timeout: 60_000 }).catch(
    (error: Error & { stderr?: string }) => {
      const said = (error.stderr ?? "").trim().split("\n").slice(-3).join(" ").slice(0, 500);
      throw new Failure("origin_config_exec_failed", {
        message: `'${command}' failed: ${said || error.message}`,
        cause: error,
      });
    },
  );
}
