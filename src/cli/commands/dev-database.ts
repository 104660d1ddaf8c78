import { InvalidArgumentError, type Command } from "commander";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { StopSignal } from "../../terminal/stop-signal.ts";
import { toPort } from "./dev-origin.ts";

interface DatabaseFlags {
  readonly port: number;
  readonly user: string;
  readonly json?: true;
}

/** `countersign dev database`, below the `dev` command. */
export function addDevDatabaseCommand(dev: Command, io: Io): void {
  dev
    .command("database")
    .description("a PostgreSQL that lets in only clients with a certificate of the development CA")
    .option("--port <port>", "0 takes a free one", toPort, 5433)
    .option("--user <name>", "a user and a database of this name", toUser, "dev")
    .option("--json", "one JSON object on stdout once it is ready: `{ready, connection_string}`")
    .addHelpText(
      "after",
      `
It runs the PostgreSQL that is installed on this machine, with clientcert=verify-full and data that goes when it ends.
The CA is the project's own, in .countersign/ of this folder; \`countersign dev\` presents a certificate of it.

Examples:
  $ countersign dev database                    # postgres://dev:none@localhost:5433/dev?sslmode=verify-full
  $ countersign dev database --port 0 --json | jq -r .connection_string`,
    )
    .action((flags: DatabaseFlags) => runDatabase(io, flags));
}

async function runDatabase(io: Io, flags: DatabaseFlags): Promise<void> {
  const { openAuthority } = await import("../../dev/authority.ts");
  const { startDevDatabase } = await import("../../dev/database.ts");
  using stop = new StopSignal();
  const colors = colorsFor(io, io.stdout);
  const { port, user } = flags;
  const authority = await openAuthority(io.cwd);
  await using database = await startDevDatabase({ authority, port, user });
  const { connectionString } = database;
  if (flags.json) {
    writeJson(io.stdout, { ready: true, connectionString });
  } else {
    writeLine(io.stdout, `${colors.green("✔")} ${colors.bold(connectionString)}`);
    writeLine(
      io.stdout,
      colors.dim("  for localConnectionString; Ctrl-C ends it, and its data goes"),
    );
  }
  await Promise.race([stop.came, database.ended]);
}

function toUser(value: string): string {
  if (/^[a-z_][a-z0-9_-]{0,62}$/.test(value)) return value;
  throw new InvalidArgumentError(
    `"${value}" is not a name of lower-case letters, digits, _ and -, 63 at most`,
  );
}
