import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { Failure } from "../failures/failures.ts";

export interface TrustStoreOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder where the system looks for additional certificates. Default: Debian's. */
  readonly systemFolder?: string;
  /** Arguments for `update-ca-certificates`. Default: none. */
  readonly systemArguments?: readonly string[];
}

/** A store of certificates that programs trust. */
export interface TrustStore {
  readonly name: "system" | "chromium";
  /** Why this store cannot be changed here. Null: it can. */
  readonly missing: string | null;
  /** @throws Failure `trust_store_failed` */
  add(pem: string): Promise<void>;
  /** Removes all of Countersign's local CAs. @returns how many there were @throws Failure `trust_store_failed` */
  remove(): Promise<number>;
}

/** The stores of this machine, and of this user. */
export function trustStores(place: TrustStoreOptions): readonly TrustStore[] {
  return [systemStore(place), chromiumStore(place)];
}

const OWN_FILE = /^countersign-[0-9a-f]{16}\.crt$/;

function systemStore({
  env,
  systemFolder = "/usr/local/share/ca-certificates",
  systemArguments = [],
}: TrustStoreOptions): TrustStore {
  const tool = "update-ca-certificates";
  // The PATH of ordinary users may lack these folders.
  const path = `${env["PATH"] ?? ""}${delimiter}/usr/sbin${delimiter}/sbin`;
  const update = (...args: string[]) =>
    run("system", tool, [...systemArguments, ...args], { ...env, PATH: path });
  const files = () => readdirSync(systemFolder).filter((name) => OWN_FILE.test(name));
  return {
    name: "system",
    missing:
      isInPath(tool, path) && existsSync(systemFolder)
        ? null
        : `there is no ${tool}, which Debian and Ubuntu have`,
    add: async (pem) => {
      attempt("system", () => {
        writeFileSync(join(systemFolder, `countersign-${shortName(pem)}.crt`), pem, {
          mode: 0o644,
        });
      });
      await update();
    },
    remove: async () => {
      const known = attempt("system", files);
      attempt("system", () => {
        for (const name of known) rmSync(join(systemFolder, name));
      });
      if (known.length > 0) await update("--fresh");
      return known.length;
    },
  };
}

const OWN_NAME = /^(Countersign local CA [0-9a-f]{16})\s/gm;

function chromiumStore({ env }: TrustStoreOptions): TrustStore {
  const folder = join(env["HOME"] ?? "", ".pki", "nssdb");
  const certutil = (...args: string[]) =>
    run("chromium", "certutil", ["-d", `sql:${folder}`, ...args], env);
  const missing = !isInPath("certutil", env["PATH"] ?? "")
    ? "there is no certutil: Debian's libnss3-tools has it"
    : existsSync(folder)
      ? null
      : `there is no ${folder}: Chromium was not started yet`;
  return {
    name: "chromium",
    missing,
    add: async (pem) => {
      // `C,,`: trusted as the CA of web servers, and for nothing else.
      const args = ["-A", "-t", "C,,", "-n", `Countersign local CA ${shortName(pem)}`, "-a"];
      await run("chromium", "certutil", ["-d", `sql:${folder}`, ...args], env, pem);
    },
    remove: async () => {
      const names = [...(await certutil("-L")).matchAll(OWN_NAME)].map(([, name]) => name!);
      for (const name of names) await certutil("-D", "-n", name);
      return names.length;
    },
  };
}

/** Made from the fingerprint, because each data folder has its own CA. */
function shortName(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase().slice(0, 16);
}

function isInPath(tool: string, path: string): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function run(
  store: string,
  tool: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  stdin = "",
): Promise<string> {
  const running = promisify(execFile)(tool, [...args], { env, timeout: 60_000 });
  running.child.stdin?.on("error", () => {});
  running.child.stdin?.end(stdin);
  try {
    return (await running).stdout;
  } catch (cause) {
    const { stderr = "" } = cause as { readonly stderr?: string };
    throw failed(
      store,
      `${tool}: ${stderr.trim().slice(0, 300) || (cause as Error).message}`,
      cause,
    );
  }
}

function attempt<T>(store: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw failed(store, (cause as Error).message, cause);
  }
}

function failed(store: string, why: string, cause: unknown): Failure {
  const message = `the ${store} store of trusted certificates was not changed: ${why}`;
  return new Failure("trust_store_failed", { message, cause, facts: { store } });
}
