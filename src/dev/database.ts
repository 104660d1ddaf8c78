import { execFile, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, rmSync } from "node:fs";
import { chmod, chown, mkdtemp, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Failure } from "../failures/failures.ts";
import type { DevAuthority } from "./authority.ts";

/** A PostgreSQL that accepts only clients of the development CA whose certificate names the user. */
export interface DevDatabase extends AsyncDisposable {
  readonly port: number;
  /** A value for `localConnectionString`. */
  readonly connectionString: string;
  /** Resolves when the server has ended by itself. */
  readonly ended: Promise<void>;
}

export interface DevDatabaseOptions {
  readonly authority: DevAuthority;
  /** 0 takes a free port. */
  readonly port: number;
  /** The name of the role that is made, of its database, and the CN of its certificates. */
  readonly user: string;
}

/**
 * Starts the PostgreSQL that is installed on this machine, with data that are removed when it ends.
 * @throws Failure `dev_database_missing`, `dev_database_failed`, `dev_port_in_use`
 */
export async function startDevDatabase(options: DevDatabaseOptions): Promise<DevDatabase> {
  const { authority, user } = options;
  const programs = findPrograms();
  const as = serverUser();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "cs-db-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  stack.defer(remove);
  if (as !== null) await chown(folder, as.uid, as.gid);
  const data = join(folder, "data");
  const initdb = ["-D", data, "-U", user, "-A", "trust", "--no-sync", "-E", "UTF8"];
  await run(join(programs, "initdb"), initdb, { ...as, cwd: folder });
  const leaf = await authority.issue({
    subject: "O=Countersign development,CN=localhost",
    dns: ["localhost"],
    ips: ["127.0.0.1", "::1"],
  });
  const files = {
    "server.crt": leaf.cert,
    "server.key": leaf.key,
    "ca.crt": authority.ca,
    "pg_hba.conf": "local all all trust\nhostssl all all all cert clientcert=verify-full\n",
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(data, name);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    if (as !== null) await chown(path, as.uid, as.gid);
  }
  const port = await freePort(options.port);
  const server = await startServer(programs, { data, folder, port, as });
  stack.defer(() => stopServer(server));
  process.once("exit", remove);
  stack.defer(() => void process.off("exit", remove));
  if (user !== "postgres") {
    const sql = `create database "${user.replaceAll('"', '""')}"`;
    const at = ["-h", folder, "-p", `${port}`, "-U", user, "-d", "postgres", "-qc", sql];
    await run(join(programs, "psql"), at, { ...as, cwd: folder });
  }
  const name = encodeURIComponent(user);
  const owned = stack.move();
  return {
    port,
    connectionString: `postgres://${name}:none@localhost:${port}/${name}?sslmode=verify-full`,
    ended: endOf(server),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** Debian installs the server's programs outside PATH. */
function findPrograms(): string {
  const installed = globSync("/usr/lib/postgresql/*/bin").toSorted((a, b) =>
    b.localeCompare(a, "en", { numeric: true }),
  );
  const path = (process.env["PATH"] ?? "").split(":").filter((one) => one !== "");
  const found = [...installed, ...path].find((folder) =>
    ["initdb", "postgres", "psql"].every((program) => existsSync(join(folder, program))),
  );
  if (found !== undefined) return found;
  throw new Failure("dev_database_missing");
}

/** PostgreSQL refuses to run as root. Null: it runs as the current user. */
function serverUser(): ServerUser | null {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = ["-u", "-g"].map((flag) =>
    Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout),
  ) as [number, number];
  if (uid > 0) return { uid, gid };
  throw new Failure("dev_database_missing", {
    message: "PostgreSQL does not run as root, and there is no user `postgres`",
  });
}

async function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly uid?: number; readonly gid?: number },
): Promise<void> {
  try {
    await promisify(execFile)(program, args, { ...options, timeout: 60_000 });
  } catch (error) {
    const said = (error as { readonly stderr?: string }).stderr?.trim().split("\n").at(-1);
    throw failed(said ?? String(error), error);
  }
}

interface ServerParts {
  readonly data: string;
  readonly folder: string;
  readonly port: number;
  readonly as: ServerUser | null;
}

/**
 * This shell ends the server and removes its folder once its own standard input ends: when it is told to, and also when
 * this process was killed. SIGINT is PostgreSQL's fast shutdown, which ends sessions. The shell writes nothing to
 * standard error, because its reader may be gone, and a failed write would end the shell.
 */
const KEEPER = `
folder=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -INT "$server"; } 2>/dev/null &
watcher=$!
exec 3<&- 2>/dev/null
wait "$server"; status=$?
kill "$watcher"
rm -rf -- "$folder"
exit "$status"`;

async function startServer(
  programs: string,
  { data, folder, port, as }: ServerParts,
): Promise<ChildProcess> {
  const settings = {
    port,
    listen_addresses: "localhost",
    unix_socket_directories: folder,
    ssl: "on",
    ssl_cert_file: "server.crt",
    ssl_key_file: "server.key",
    ssl_ca_file: "ca.crt",
    fsync: "off",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = [join(programs, "postgres"), "-D", data, ...args];
  const child = spawn("/bin/sh", ["-c", KEEPER, "sh", folder, ...command], {
    ...as,
    cwd: folder,
    stdio: ["pipe", "ignore", "pipe"],
    // A detached child does not get the terminal's Ctrl-C; this process passes it on.
    detached: true,
  });
  let output = "";
  for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) {
    output = `${output}${String(chunk)}`.slice(-4_000);
    if (output.includes("ready to accept connections")) {
      child.stderr.resume();
      return child;
    }
  }
  const said = output
    .trim()
    .split("\n")
    .find((line) => /FATAL|ERROR/.test(line));
  throw failed(said ?? "it ended at once");
}

async function endOf(child: ChildProcess): Promise<void> {
  await once(child, "close");
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.stdin?.end();
  await exited;
}

/** @throws Failure `dev_port_in_use` */
async function freePort(port: number): Promise<number> {
  const server = createServer();
  const listening = once(server, "listening");
  server.listen(port, "127.0.0.1");
  try {
    await listening;
  } catch (cause) {
    throw new Failure("dev_port_in_use", {
      message: `port ${port} is in use`,
      facts: { port },
      cause,
    });
  }
  const taken = (server.address() as AddressInfo).port;
  server.close();
  await once(server, "close");
  return taken;
}

function failed(said: string, cause?: unknown): Failure {
  return new Failure("dev_database_failed", {
    message: `PostgreSQL did not start: ${said}`,
    cause,
  });
}
