import { Option, type Command } from "commander";
import { join, resolve } from "node:path";
import type {
  CertificateFiles,
  PlatformBinding,
  WantedCertificate,
} from "../../dev/certificates.ts";
import type { DevFlags } from "../../dev/wrangler/start-input.ts";
import { Failure } from "../../failures/failures.ts";
import { addDevDatabaseCommand } from "./dev-database.ts";
import { addDevOriginCommand, toPort } from "./dev-origin.ts";
import { dataFolderOf } from "../data-option.ts";
import { colorsFor, isTerminal, writeLine, type Io } from "../../terminal/io.ts";
import { StopSignal } from "../../terminal/stop-signal.ts";
import { platformClient } from "../client/platform-client.ts";
import { inWranglersWords } from "../wrangler-words.ts";

interface Flags extends DevFlags {
  readonly cert?: Readonly<Record<string, CertificateFiles>>;
  readonly cwd?: string;
  readonly showInteractiveDevSession?: boolean;
  readonly remote?: true;
  readonly tunnel?: true;
}

/** `countersign dev` and, below it, `countersign dev origin`. */
export function addDevCommand(program: Command, io: Io): void {
  const dev = program
    .command("dev")
    .argument("[script]", "the entry point, if the configuration names none")
    .enablePositionalOptions()
    .option(
      "--cert <binding=cert,key>",
      "PEM files for a binding; the key may be in the same file",
      (value: string, before: Flags["cert"]) => ({ ...before, ...toCertificate(io, value) }),
    )
    .option("--cwd <folder>", "use this working directory");
  for (const option of wranglerOptions()) {
    dev.addOption(option);
  }
  dev.addHelpText(
    "after",
    `
The other options are wrangler's own. A binding's certificate comes from --cert, else from
countersign.json, else from the running platform, else from a development CA in .countersign/.

Examples:
  $ countersign dev
  $ countersign dev --cert MY_CERT=certs/cert.pem,certs/key.pem
  $ countersign dev origin          # a server to try it against
  $ countersign dev database        # the same, a PostgreSQL`,
  );
  dev.action((script: string | undefined, flags: Flags) =>
    inWranglersWords(io, () => runDev(io, script, flags)),
  );
  addDevOriginCommand(dev, io);
  addDevDatabaseCommand(dev, io);
}

async function runDev(
  io: Io,
  script: string | undefined,
  { cert, cwd, remote, tunnel, ...flags }: Flags,
): Promise<void> {
  if (remote || tunnel) {
    throw new Failure("usage", {
      message: `${remote ? "--remote" : "--tunnel"} is not an option of countersign dev`,
      fix: "It runs the Worker on Cloudflare's network, and `countersign dev` everything on this machine: leave it out, or use `wrangler dev`.",
    });
  }
  const folder = cwd ? resolve(io.cwd, cwd) : io.cwd;
  process.chdir(folder);
  const { startDevSession } = await import("../../dev/session.ts");
  const { listenToKeys } = await import("../../dev/wrangler/hotkeys.ts");
  using signal = new StopSignal();
  const starting = startDevSession({
    folder,
    script,
    flags,
    certificateOptions: cert ?? {},
    fromPlatform: (wanted) => fromPlatform(io, wanted),
    platformSocket: join(dataFolderOf(io, undefined), "admin.sock"),
    say: (line) => writeLine(io.stdout, line),
    complain: (line) => writeLine(io.stderr, line),
    colors: colorsFor(io, io.stdout),
  });
  const started = await Promise.race([starting, signal.came]);
  // A start that is under way is not waited for: what it has begun ends with this process.
  if (!started) process.exit(STOPPED);
  await using session = started;
  const stop = Promise.withResolvers<void>();
  using _keys =
    isTerminal(io.stdout) && process.stdin.isTTY && flags.showInteractiveDevSession !== false
      ? listenToKeys(process.stdin, io.stdout, { ...session.server, exit: stop.resolve })
      : null;
  await Promise.race([signal.came, stop.promise, session.server.closed]);
}

/** As a shell has it for what Ctrl-C ends. */
const STOPPED = 130;

/**
 * Asks the platform of the default data folder or of COUNTERSIGN_DATA. Null: no platform runs, or it has no such
 * certificate.
 */
async function fromPlatform(io: Io, wanted: WantedCertificate): Promise<PlatformBinding | null> {
  const folder = dataFolderOf(io, undefined);
  const said = setTimeout(
    () => writeLine(io.stderr, `waiting for the platform of ${folder}`),
    2_000,
  );
  try {
    return await platformClient(folder).openBinding(wanted);
  } catch (error) {
    if (error instanceof Failure && error.code === "platform_not_running") return null;
    throw error;
  } finally {
    clearTimeout(said);
  }
}

/**
 * wrangler would run one Worker for each `--config`. Here all but one would be dropped silently, so a second one is
 * refused.
 */
function once(value: string, before: string | undefined): string {
  if (before === undefined) return value;
  throw new Failure("usage", {
    message: `--config is given twice, "${before}" and "${value}", and countersign dev runs one Worker`,
    fix: "Start a `countersign dev` for each: they find one another through wrangler's registry.",
  });
}

function toCertificate(io: Io, value: string): Record<string, CertificateFiles> {
  const [, binding, cert, key] = /^([^=]+)=([^,]+)(?:,([^,]+))?$/.exec(value) ?? [];
  if (!binding || !cert) {
    throw new Failure("dev_option_malformed", {
      message: `--cert "${value}" is not of the form BINDING=cert.pem,key.pem`,
    });
  }
  const at = (path: string): string => resolve(io.cwd, path);
  return { [binding]: { cert: at(cert), ...(key === undefined ? {} : { key: at(key) }) } };
}

/** The options of `wrangler dev --help`, without those that need Cloudflare's network. */
function wranglerOptions(): readonly Option[] {
  return [
    new Option("-c, --config <path>", "path to the Wrangler configuration").argParser(once),
    new Option("-e, --env <name>", "the Wrangler environment"),
    new Option("--env-file <path...>", "path to an .env file"),
    new Option("--name <name>", "name of the Worker"),
    new Option("--compatibility-date <date>", "date to use for compatibility checks"),
    new Option("--compatibility-flags <flag...>", "flags to use for compatibility checks"),
    new Option("--assets <folder>", "static assets to be served"),
    new Option("--no-bundle", "skip internal build steps"),
    new Option("--ip <address>", "address to listen on"),
    new Option("--port <port>", "port to listen on").argParser(toPort),
    new Option("--inspector-port <port>", "port for devtools").argParser(toPort),
    new Option("--inspector-ip <address>", "address for devtools"),
    new Option("--host <host>", "the host that the Worker sees"),
    new Option("--local-upstream <host>", "the same").hideHelp(),
    new Option("--local-protocol <protocol>", "protocol to listen to").choices(["http", "https"]),
    new Option("--https-key-path <path>", "key for https"),
    new Option("--https-cert-path <path>", "certificate for https"),
    new Option(
      "--upstream-protocol <protocol>",
      "protocol of the host that the Worker sees",
    ).choices(["http", "https"]),
    new Option("--var <name:value...>", "a variable for the Worker"),
    new Option("--define <name:value...>", "a substitution in the source"),
    new Option("--alias <name:value...>", "a module that replaces another"),
    new Option("--jsx-factory <name>", "called for each JSX element"),
    new Option("--jsx-fragment <name>", "called for each JSX fragment"),
    new Option("--tsconfig <path>", "path to a tsconfig.json"),
    new Option("--minify", "minify the script"),
    new Option("-l, --local", "run with remote bindings disabled"),
    new Option("-r, --remote").hideHelp(),
    new Option("--tunnel").hideHelp(),
    new Option("--persist-to <folder>", "where local data is kept (default: .wrangler/state)"),
    new Option("--live-reload", "reload HTML pages when the Worker changes"),
    new Option("--test-scheduled", "try scheduled events at /__scheduled"),
    new Option("--log-level <level>", "how much wrangler says").choices([
      "debug",
      "info",
      "log",
      "warn",
      "error",
      "none",
    ]),
    new Option("--no-show-interactive-dev-session", "no keys"),
  ];
}
