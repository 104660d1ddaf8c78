import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { until } from "./until.ts";
import { freePort } from "./free-port.ts";

/** A database in a folder of its own, on a free port of 127.0.0.1. */
export interface DatabaseServer {
  readonly port: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** PEM. The server's name is `localhost`. */
export interface ServerFiles {
  readonly ca: string;
  readonly chain: string;
  readonly key: string;
}

export type Lifetime = Pick<TestContext, "after">;

/** Why tests that need these programs are skipped, or false. */
export function without(...programs: readonly string[]): string | false {
  const missing = programs.filter((one) => spawnSync("which", [one]).status !== 0);
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

/** A Redis that accepts only clients with a certificate of the CA (`tls-auth-clients yes`). */
export async function startRedis(t: Lifetime, files: ServerFiles): Promise<DatabaseServer> {
  const { folder, port } = await prepared(t, files);
  return await started(t, port, () =>
    spawn(
      "redis-server",
      // One word for each option; an empty word is an option too.
      `--port 0 --bind 127.0.0.1 --tls-port ${port} --tls-auth-clients yes --tls-cert-file server.crt --tls-key-file server.key --tls-ca-cert-file ca.crt --appendonly no --save`
        .split(" ")
        .concat(""),
      { cwd: folder, stdio: "ignore" },
    ),
  );
}

/**
 * An MQTT broker that knows clients by the CN of their certificates, and accepts nobody without one.
 * @param user the only client that may read and write `orders`
 */
export async function startMosquitto(
  t: Lifetime,
  files: ServerFiles,
  user: string,
): Promise<DatabaseServer> {
  const { folder, port } = await prepared(t, files);
  const config = `listener ${port} 127.0.0.1
cafile ca.crt
certfile server.crt
keyfile server.key
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file acl
`;
  await writeFile(join(folder, "acl"), `user ${user}\ntopic readwrite orders\n`, { mode: 0o600 });
  await writeFile(join(folder, "mosquitto.conf"), config);
  // Started as root, it changes to another user, which must be able to read the files.
  await chmod(folder, 0o755);
  for (const file of ["acl", "server.crt", "server.key", "ca.crt"])
    await chmod(join(folder, file), 0o644);
  return await started(t, port, () =>
    spawn("mosquitto", ["-c", "mosquitto.conf"], { cwd: folder, stdio: "ignore" }),
  );
}

/** A directory that accepts only clients with a certificate of the CA (`TLSVerifyClient demand`). */
export async function startSlapd(t: Lifetime, files: ServerFiles): Promise<DatabaseServer> {
  const { folder, port } = await prepared(t, files);
  const config = `include /etc/ldap/schema/core.schema
TLSCACertificateFile ${folder}/ca.crt
TLSCertificateFile ${folder}/server.crt
TLSCertificateKeyFile ${folder}/server.key
TLSVerifyClient demand
`;
  await writeFile(join(folder, "slapd.conf"), config);
  return await started(t, port, () =>
    spawn("slapd", ["-d", "0", "-h", `ldaps://127.0.0.1:${port}`, "-f", "slapd.conf"], {
      cwd: folder,
      stdio: "ignore",
    }),
  );
}

async function prepared(
  t: Lifetime,
  { ca, chain, key }: ServerFiles,
): Promise<{ folder: string; port: number }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-database-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const files = { "server.crt": chain, "server.key": key, "ca.crt": ca };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
  }
  return { folder, port: await freePort() };
}

async function started(
  t: Lifetime,
  port: number,
  begin: () => ChildProcess,
): Promise<DatabaseServer> {
  let child: ChildProcess | null = null;
  const server: DatabaseServer = {
    port,
    start: async () => {
      child = begin();
      await until(() => accepts(port));
    },
    stop: async () => {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
  t.after(() => server.stop());
  await server.start();
  return server;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return await new Promise((fulfil) => {
    socket.once("error", () => fulfil(false));
    socket.once("connect", () => {
      socket.destroy();
      fulfil(true);
    });
  });
}
