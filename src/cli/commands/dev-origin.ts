import { InvalidArgumentError, type Command } from "commander";
import { resolve } from "node:path";
import type { OriginFaults } from "../../dev/origin.ts";
import type { SeenRequest } from "../../dev/seen.ts";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { StopSignal } from "../../terminal/stop-signal.ts";

interface OriginFlags extends OriginFaults {
  readonly port: number;
  readonly address?: string;
  readonly name?: readonly string[];
  readonly to?: URL;
  readonly tls12?: true;
  readonly json?: true;
}

/** `countersign dev origin`, below the `dev` command. */
export function addDevOriginCommand(dev: Command, io: Io): void {
  dev
    .command("origin")
    .description("a server that lets in only clients with a certificate of the development CA")
    .option("--port <port>", "0 takes a free one", toPort, 8443)
    .option("--address <address>", "address to listen on (default: 127.0.0.1)")
    .option("--name <name>", "a name its certificate is for, besides localhost", collect)
    .option("--to <url>", "a service behind it, which gets `Client-Cert` (RFC 9440)", toUrl)
    .option("--expired", "its certificate ended yesterday")
    .option("--wrong-name", "its certificate is for another name")
    .option("--unknown-ca", "its certificate is from a CA that nobody trusts")
    .option("--wants-another-ca", "it lets in clients of another CA only")
    .option("--tls12", "it speaks TLS 1.2 at most")
    .option("--resets", "it resets the connection of each request")
    .option("--slow <ms>", "each answer waits", toMilliseconds)
    .option("--json", "one JSON object a line on stdout: `{ready, url}`, then each request")
    .addHelpText(
      "after",
      `
It answers each request with what it saw: the client's certificate, TLS version and cipher, headers,
and the body's hash. The CA is the project's own, in .countersign/ of this folder.

Examples:
  $ countersign dev origin                      # https://localhost:8443
  $ countersign dev origin --expired            # how does the Worker take that?
  $ countersign dev origin --to http://localhost:3000`,
    )
    .action((flags: OriginFlags) => runOrigin(io, flags));
}

async function runOrigin(io: Io, flags: OriginFlags): Promise<void> {
  const { openAuthority, authorityFolder } = await import("../../dev/authority.ts");
  const { startDevOrigin } = await import("../../dev/origin.ts");
  using stop = new StopSignal();
  const colors = colorsFor(io, io.stdout);
  const authority = await openAuthority(io.cwd);
  await using origin = await startDevOrigin({
    authority,
    port: flags.port,
    address: flags.address,
    names: flags.name,
    faults: faultsOf(flags),
    to: flags.to,
    onRequest: (seen) =>
      flags.json ? writeJson(io.stdout, seen) : writeLine(io.stdout, line(seen)),
    onRefused: (why) => writeLine(io.stderr, `${colors.red("✘")} ${why}`),
  });
  if (flags.json) {
    writeJson(io.stdout, { ready: true, url: origin.url });
  } else {
    const ca = resolve(io.cwd, authorityFolder, "ca.pem");
    writeLine(
      io.stdout,
      `${colors.green("✔")} ${colors.bold(origin.url)} lets in clients of ${ca}`,
    );
    writeLine(io.stdout, colors.dim("  Ctrl-C ends it"));
  }
  await stop.came;
}

function line({ client, tls, method, path }: SeenRequest): string {
  return `${method} ${path} from ${client?.subject ?? "nobody"} (${tls.version}, ${tls.cipher})`;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function faultsOf(flags: OriginFlags): OriginFaults {
  const { expired, wrongName, unknownCa, wantsAnotherCa, resets, slow } = flags;
  const given = { expired, wrongName, unknownCa, wantsAnotherCa, resets, slow };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(flags.tls12 && { tls12Only: true }),
  };
}

export function toPort(value: string): number {
  const port = Number(value);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidArgumentError(`"${value}" is not a port, 0 to 65535`);
  }
  return port;
}

function toMilliseconds(value: string): number {
  const ms = Number(value);
  if (!Number.isFinite(ms) || ms < 0 || ms > 3_600_000) {
    throw new InvalidArgumentError(`"${value}" is not a time in milliseconds, 0 to 3600000`);
  }
  return ms;
}

function toUrl(value: string): URL {
  const url = URL.parse(value);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new Failure("dev_option_malformed", {
      message: `--to "${value}" is not an http:// or https:// URL`,
    });
  }
  return url;
}
