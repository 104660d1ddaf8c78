import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../helpers/free-port.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { until } from "../helpers/until.ts";

const MODULE = "github.com/letsencrypt/pebble/v2/cmd";
const VERSION = "v2.10.3";
const built = join(import.meta.dirname, "..", "..", "node_modules", ".cache", `pebble-${VERSION}`);

export interface Pebble extends AsyncDisposable {
  readonly directory: string;
  /** PEM of the CA of Pebble's own server. */
  readonly authority: string;
  end(): Promise<void>;
}

export interface PebbleOptions {
  readonly folder: string;
  /** The port at which it checks HTTP-01, instead of 80. */
  readonly httpPort: number;
  /** The port at which it checks TLS-ALPN-01, instead of 443. Default: `httpPort`. */
  readonly tlsPort?: number;
  /** External accounts, without which it opens no account: key id → MAC key, base64url. Default: none are needed. */
  readonly external?: Readonly<Record<string, string>>;
  /** Seconds that its certificates are valid. Default: 90 days. */
  readonly life?: number;
}

/** Builds Let's Encrypt's test server once. Null: Go is not installed. */
export function buildPebble(): string | null {
  const programs = ["pebble", "pebble-challtestsrv"];
  if (programs.every((name) => existsSync(join(built, name)))) return built;
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
  } catch {
    return null;
  }
  mkdirSync(built, { recursive: true });
  for (const name of programs) {
    const env = { ...process.env, GOBIN: built };
    execFileSync("go", ["install", `${MODULE}/${name}@${VERSION}`], { env, stdio: "ignore" });
  }
  return built;
}

/** Starts Pebble, and a DNS server in which every name leads to this machine. */
export async function startPebble(
  programs: string,
  { folder, httpPort, tlsPort = httpPort, life = 90 * 86_400, external }: PebbleOptions,
): Promise<Pebble> {
  const [port, management, dns, dnsManagement] = await Promise.all(
    [1, 2, 3, 4].map(() => freePort()),
  );
  const authority = await makeAuthority("Pebble's own server");
  const leaf = await authority.issue({ subject: "CN=pebble", ips: ["127.0.0.1"] });
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const config = file(
    "pebble.json",
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: file("pebble.crt", leaf.chain),
        privateKey: file("pebble.key", leaf.key),
        httpPort,
        tlsPort,
        ...(external && {
          externalAccountBindingRequired: true,
          externalAccountMACKeys: external,
        }),
        profiles: { default: { description: "default", validityPeriod: life } },
      },
    }),
  );
  const names = run(join(programs, "pebble-challtestsrv"), [
    "-defaultIPv4",
    "127.0.0.1",
    "-defaultIPv6",
    "",
    "-dnsserver",
    `127.0.0.1:${dns}`,
    "-management",
    `127.0.0.1:${dnsManagement}`,
    "-http01",
    "",
    "-https01",
    "",
    "-tlsalpn01",
    "",
    "-doh",
    "",
  ]);
  const server = run(
    join(programs, "pebble"),
    ["-config", config, "-dnsserver", `127.0.0.1:${dns}`],
    { PEBBLE_VA_NOSLEEP: "1" },
  );
  await until(() => /ACME directory available/.test(server.log()));
  const end = async (): Promise<void> => {
    await Promise.all([server.end(), names.end()]);
  };
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    authority: authority.pem,
    end,
    [Symbol.asyncDispose]: end,
  };
}

function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { log(): string; end(): Promise<void> } {
  const child: ChildProcess = spawn(program, args, { env: { ...process.env, ...env } });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (log += chunk.toString()));
  }
  const closed = once(child, "close");
  return {
    log: () => log,
    end: async () => {
      child.kill();
      await closed;
    },
  };
}
