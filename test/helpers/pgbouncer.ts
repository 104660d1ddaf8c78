import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { freePort } from "./free-port.ts";
import type { TestAuthority } from "./pki.ts";
import type { RunningPostgres } from "./postgres.ts";

/** Why tests that need a PgBouncer are skipped, or false. */
export const withoutPgbouncer: string | false =
  spawnSync("sh", ["-c", "command -v pgbouncer"]).status === 0
    ? false
    : "PgBouncer is not installed (Debian: pgbouncer)";

/**
 * A real PgBouncer in front of a PostgreSQL, configured as in docs/databases.md: it accepts clients with a certificate
 * of the CA that names the user, and they share `pool` connections.
 */
export async function startPgbouncer(
  t: Pick<TestContext, "after">,
  authority: TestAuthority,
  { server, pool }: { readonly server: RunningPostgres; readonly pool: number },
): Promise<{ readonly port: number }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-pgbouncer-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  const leaf = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const files = {
    "server.crt": leaf.chain,
    "server.key": leaf.key,
    "ca.crt": authority.pem,
    "users.txt": '"client" ""\n',
    "pgbouncer.ini": `
[databases]
postgres = host=${dirname(server.socket)} port=${server.port} dbname=postgres user=client

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = cert
auth_file = users.txt
client_tls_sslmode = verify-full
client_tls_ca_file = ca.crt
client_tls_cert_file = server.crt
client_tls_key_file = server.key
pool_mode = transaction
default_pool_size = ${pool}
`,
  };
  // Like PostgreSQL, it refuses to run as root.
  const as = process.getuid?.() === 0 ? { uid: idOf("-u"), gid: idOf("-g") } : null;
  if (as !== null) await chown(folder, as.uid, as.gid);
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    if (as !== null) await chown(join(folder, name), as.uid, as.gid);
  }
  const child = spawn("pgbouncer", ["pgbouncer.ini"], {
    ...as,
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  let output = "";
  for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) {
    output += String(chunk);
    if (output.includes("process up")) {
      child.stderr.resume();
      return { port };
    }
  }
  throw new Error(`PgBouncer did not start: ${output}`);
}

function idOf(flag: string): number {
  return Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
}
