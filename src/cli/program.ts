import { Command } from "commander";
import { readFileSync } from "node:fs";
import { isTerminal, type Io } from "../terminal/io.ts";
import { commands } from "./commands.ts";

/**
 * Adds every command by its name, and the commands that `argv` calls with all their options. So `--help` and
 * `--version` load next to nothing.
 * @param argv null: every command with all options
 */
export async function createProgram(io: Io, argv: readonly string[] | null): Promise<Command> {
  const program = new Command("countersign")
    .description("Mutual TLS for Workers, on machines you own.")
    .version(version(), "-v, --version")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHasColors: () => isTerminal(io.stdout),
      getErrHasColors: () => isTerminal(io.stderr),
    })
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError("(countersign --help shows what there is)")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign dev                       # wrangler dev, with mTLS bindings
  $ countersign start                     # the platform, on this machine
  $ eval "$(countersign env)"             # point wrangler at it
  $ wrangler mtls-certificate upload --cert cert.pem --key key.pem --name my-cert
  $ countersign deploy                    # wrangler deploy, then the URL that answers`,
    );
  program.hook("preAction", async (_, command) => {
    if (!HANDLES_KEYS.has(topmost(command).name())) return;
    const { closeMemory } = await import("../process/closed-memory.ts");
    closeMemory();
  });
  const words = argv?.filter((word) => !word.startsWith("-")) ?? [];
  const wanted = words[0] === "help" ? words[1] : words[0];
  for (const { name, alias, summary, add } of commands) {
    if (argv === null || name === wanted || (alias !== undefined && alias === wanted)) {
      (await add())(program, io, () => createProgram(io, null));
    } else {
      program.command(name);
    }
    const command = program.commands.at(-1)!.description(summary);
    if (alias !== undefined) command.alias(alias);
  }
  return program;
}

/** Commands that read the master key or private keys. */
const HANDLES_KEYS: ReadonlySet<string> = new Set([
  "start",
  "keys",
  "backup",
  "restore",
  "certificate",
  "host",
  "ca",
]);

function topmost(command: Command): Command {
  const { parent } = command;
  return parent?.parent ? topmost(parent) : command;
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
