import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { TestAuthority } from "./pki.ts";
import { freePort } from "./free-port.ts";

/** Why tests that need a MariaDB server are skipped, or false. */
export const withoutMariadb: string | false =
  spawnSync("sh", ["-c", "command -v mariadbd && command -v mariadb-install-db"]).status === 0
    ? false
    : "MariaDB is not installed (Debian: mariadb-server)";

export interface TestMariadb {
  readonly port: number;
  /** Runs SQL as its superuser. */
  sql(text: string): string;
  restart(): Promise<void>;
}

/** A real MariaDB with TLS, whose certificate for `localhost` is from the CA. Database: `shop`. */
export async function startMariadb(
  t: Pick<TestContext, "after">,
  authority: TestAuthority,
  { tls = true }: { readonly tls?: boolean } = {},
): Promise<TestMariadb> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-mariadb-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const data = join(directory, "data");
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const files = { "server.crt": server.chain, "server.key": server.key, "ca.crt": authority.pem };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(directory, name), text, { mode: 0o600 });
  }
  await mkdir(data);
  const user = process.getuid?.() === 0 ? "root" : "";
  await chown(directory, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  const as = user === "" ? [] : [`--user=${user}`];
  execFileSync(
    "mariadb-install-db",
    [`--datadir=${data}`, "--auth-root-authentication-method=normal", "--skip-test-db", ...as],
    { stdio: "ignore" },
  );
  const port = await freePort();
  const socket = join(directory, "m.sock");
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(
      "mariadbd",
      [
        "--no-defaults",
        ...as,
        `--datadir=${data}`,
        `--socket=${socket}`,
        `--port=${port}`,
        "--bind-address=127.0.0.1",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        `--pid-file=${join(directory, "pid")}`,
        ...(tls
          ? ["ca=ca.crt", "cert=server.crt", "key=server.key"].map(
              (option) => `--ssl-${option.replace("=", `=${directory}/`)}`,
            )
          : ["--skip-ssl"]),
      ],
      { stdio: "ignore" },
    );
    const deadline = Date.now() + 30_000;
    while (spawnSync("mariadb-admin", ["--no-defaults", "-uroot", `-S${socket}`, "ping"]).status) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error("no MariaDB");
      await delay(100);
    }
    return child;
  };
  let child = await start();
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  t.after(stop);
  const sql = (text: string): string =>
    execFileSync("mariadb", ["--no-defaults", "-uroot", `-S${socket}`, "-N", "-e", text], {
      encoding: "utf8",
    });
  sql("create database shop");
  return {
    port,
    sql,
    restart: async () => {
      await stop();
      child = await start();
    },
  };
}
