import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, globSync } from "node:fs";
import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { TestAuthority } from "./pki.ts";
import { freePort } from "./free-port.ts";

const binaries = [
  ...globSync("/usr/lib/postgresql/*/bin/initdb"),
  spawnSync("which", ["initdb"], { encoding: "utf8" }).stdout?.trim() ?? "",
].find((path) => path !== "");

/** Why tests that need a PostgreSQL server are skipped, or false. */
export const withoutPostgres: string | false =
  binaries === undefined
    ? "PostgreSQL is not installed (Debian: postgresql)"
    : process.getuid?.() === 0 && userId() === null
      ? "PostgreSQL does not run as root, and there is no user `postgres`"
      : false;

export interface PostgresOptions {
  /** Lines of pg_hba.conf for TCP. Default: `hostssl all all all cert clientcert=verify-full`. */
  readonly rules?: readonly string[];
  /** A host that the server's certificate names. Default: `localhost`. */
  readonly host?: string;
  /** Default: true. */
  readonly tls?: boolean;
  /** Default: 127.0.0.1, on a free port. If given, the server's certificate names the address too. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** Additional files in its data folder, or replacements of existing ones. */
  readonly files?: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningPostgres {
  readonly port: number;
  /** Its Unix socket. */
  readonly socket: string;
  /** Writes a file into its data folder, unchanged. */
  put(name: string, text: string): Promise<void>;
  /** Runs SQL as its superuser. */
  sql(text: string): string;
  /** Stops it and starts it again on the same port. */
  restart(): Promise<void>;
}

/**
 * A real PostgreSQL that, over TCP, accepts only clients with a certificate of the CA whose CN is the user
 * (`clientcert=verify-full`), or applies other rules. User: `client`; database: `postgres`.
 */
export async function startPostgres(
  t: Pick<TestContext, "after">,
  authority: TestAuthority,
  options: PostgresOptions = {},
): Promise<RunningPostgres> {
  const { rules = ["hostssl all all all cert clientcert=verify-full"], host = "localhost" } =
    options;
  const directory = await mkdtemp(join(tmpdir(), "countersign-postgres-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const user = userId();
  const as = user === null ? {} : { uid: user.uid, gid: user.gid };
  if (user !== null) await chown(directory, user.uid, user.gid);
  const bin = dirname(binaries!);
  const data = join(directory, "data");
  const initdb = ["-D", data, "-U", "client", "-A", "trust", "--no-sync", "-E", "UTF8"];
  execFileSync(join(bin, "initdb"), initdb, { ...as, cwd: directory, stdio: "ignore" });
  const { listen } = options;
  const server = await authority.issue({
    subject: `CN=${host}`,
    dns: [host],
    ...(listen && { ips: [listen.host] }),
  });
  const files: Record<string, string> = {
    "server.crt": server.chain,
    "server.key": server.key,
    "ca.crt": authority.pem,
    "pg_hba.conf": ["local all all trust", ...rules, ""].join("\n"),
    ...options.files,
  };
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(data, name), text);
    await chmod(join(data, name), 0o600);
    if (user !== null) chownSync(join(data, name), user.uid, user.gid);
  };
  for (const [name, text] of Object.entries(files)) await put(name, text);
  const port = listen?.port ?? (await freePort());
  const settings = {
    port,
    listen_addresses: listen?.host ?? "127.0.0.1",
    unix_socket_directories: directory,
    ssl: options.tls === false ? "off" : "on",
    ssl_cert_file: "server.crt",
    ssl_key_file: "server.key",
    ssl_ca_file: "ca.crt",
    fsync: "off",
    ...options.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(join(bin, "postgres"), ["-D", data, ...args], {
      ...as,
      cwd: directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) {
      output += String(chunk);
      if (output.includes("ready to accept connections")) {
        child.stderr.resume();
        return child;
      }
    }
    throw new Error(`postgres did not start: ${output}`);
  };
  let child = await start();
  const stop = async (): Promise<void> => {
    child.kill("SIGINT");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  t.after(stop);
  return {
    port,
    socket: join(directory, `.s.PGSQL.${port}`),
    put,
    sql: (text) =>
      execFileSync(
        join(bin, "psql"),
        ["-h", directory, "-p", `${port}`, "-U", "client", "-d", "postgres", "-Atc", text],
        { ...as, cwd: directory, encoding: "utf8" },
      ),
    restart: async () => {
      await stop();
      child = await start();
    },
  };
}

/** PostgreSQL refuses to run as root, so it gets its own user if the tests run as root. */
function userId(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = [idOf("-u"), idOf("-g")];
  return uid > 0 ? { uid, gid } : null;
}

function idOf(flag: string): number {
  return Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
}
