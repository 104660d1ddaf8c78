import { existsSync, statfsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve as absolute } from "node:path";
import { describeExpiry } from "../certificates/expiry.ts";
import { workerdSandbox } from "../edge/generation/workerd.ts";
import { findCommand } from "../process/walls/find-command.ts";
import { isPassage } from "../process/walls/own-user.ts";
import { findProcessUsers } from "../process/walls/process-users.ts";
import { runsIn } from "../process/walls/sandbox.ts";
import { Failure } from "../failures/failures.ts";
import { storageFailure } from "../failures/of-storage.ts";
import { assertWritable } from "../platform/data-folder.ts";
import { formatSize } from "../terminal/format.ts";
import type { MasterKeyVariables } from "../keys/master-key.ts";
import type { PlatformStatus } from "../platform/admin.ts";
import type { Check } from "./check.ts";
import { checkFileLimit, checkStorage } from "./doctor-storage.ts";
import { platformClient } from "./client/platform-client.ts";

export interface CheckOptions {
  readonly dataFolder: string;
  readonly ports: { readonly api: number; readonly http: number };
  readonly masterKey: MasterKeyVariables;
  readonly now: Date;
}

export async function runChecks(options: CheckOptions): Promise<readonly Check[]> {
  const { dataFolder } = options;
  const platform = platformClient(dataFolder);
  const status = await platform.status().catch((error: unknown) => {
    if (error instanceof Failure && error.code === "platform_not_running") return null;
    throw error;
  });
  const pid = status === null ? "self" : (await platform.info()).pid;
  const keyInUse = status === null ? null : (await platform.keys()).from;
  return [
    checkNode(),
    await checkWorkerd(),
    await checkSandbox(status, dataFolder),
    await checkUsers(status, dataFolder),
    await checkMemoryLimits(status),
    checkDataFolder(dataFolder),
    ...(await checkStorage({ dataFolder, masterKey: options.masterKey, keyInUse })),
    ...[checkFileLimit(pid) ?? []].flat(),
    checkClock(options),
    ...(status === null
      ? [
          { name: "platform", result: "ok", finding: "not running" } as const,
          await checkPort("api port", options.ports.api),
          await checkPort("http port", options.ports.http),
        ]
      : [
          ...checkProcesses(status),
          ...checkOldTls(status),
          ...checkCertificates(status, options.now),
          ...checkHostCertificates(status, options.now),
          ...checkOriginPulls(status, options.now),
          ...checkHostFolders(status),
          ...checkCertificateWarnings(status),
          ...checkRevocationLists(status),
        ]),
  ];
}

function checkNode(): Check {
  const { node, openssl } = process.versions;
  return { name: "node", result: "ok", finding: `${node} with OpenSSL ${openssl}` };
}

async function checkWorkerd(): Promise<Check> {
  const name = "workerd";
  const found = await runsIn(await workerdSandbox("off"), ["--version"]);
  if (found.status === 0) return { name, result: "ok", finding: found.said };
  return {
    name,
    result: "wrong",
    finding: `does not run: ${found.said}`,
    fix: "Install again with `npm ci`, on glibc 2.35 or newer, or macOS 13.5 or newer.",
  };
}

/** The running platform's sandbox; if none runs, the one that the next start would use. */
async function checkSandbox(status: PlatformStatus | null, folder: string): Promise<Check> {
  const { kind, summary } =
    status?.sandbox ?? (await workerdSandbox("auto", { top: absolute(folder) }));
  const name = "sandbox";
  if (kind === "bubblewrap" || kind === "user")
    return { name, result: "ok", finding: `Workers are ${summary}` };
  return {
    name,
    result: "warning",
    finding: `Workers are ${summary}`,
    fix: "Install bubblewrap and let it make user namespaces: docs/security.md says how. Until then, run no Worker whose author you do not trust.",
  };
}

/** The same for the users of the platform's own processes. */
async function checkUsers(status: PlatformStatus | null, folder: string): Promise<Check> {
  const { isHindered, summary } =
    status?.users ?? (await findProcessUsers("auto", absolute(folder)));
  const check = { name: "users", finding: summary } as const;
  if (!isHindered) return { ...check, result: "ok" };
  const fix =
    "Install util-linux, and Node and Countersign where everybody on the machine may read: docs/security.md.";
  return { ...check, result: "warning", fix };
}

/** What keeps the memory of Workers within `--worker-memory`. */
async function checkMemoryLimits(status: PlatformStatus | null): Promise<Check> {
  const name = "memory limits";
  if (process.platform !== "linux") {
    const fix = "Run no Worker here whose author you do not trust.";
    return {
      name,
      result: "warning",
      finding: "of JavaScript's heap alone: those of all memory take Linux",
      fix,
    };
  }
  const { isInForce, summary } = status?.memoryGroups ?? { isInForce: false, summary: null };
  const groups =
    summary === null ? "" : isInForce ? `, and ${summary}` : `; no cgroups: ${summary}`;
  const kernel = "the kernel limits each Worker's";
  if ((await findCommand("prlimit")) !== null)
    return { name, result: "ok", finding: `${kernel}: RLIMIT_DATA${groups}` };
  if (isInForce) return { name, result: "ok", finding: `${kernel}: ${summary}` };
  return {
    name,
    result: "warning",
    finding: `each Worker's is checked twice a second, which a fast program can pass${groups}`,
    fix: "Install util-linux, so that the kernel enforces them: docs/security.md.",
  };
}

function checkDataFolder(folder: string): Check {
  const name = "data folder";
  try {
    assertWritable(folder);
  } catch (error) {
    const failure =
      error instanceof Failure ? error : storageFailure(error, `the data folder "${folder}"`);
    if (failure) return { name, result: "wrong", finding: failure.message, fix: failure.fix };
  }
  if (!existsSync(folder)) {
    return { name, result: "ok", finding: `${folder} will be made at the first start` };
  }
  const found = statSync(folder);
  const mode = found.mode & 0o777;
  if (process.platform !== "win32" && (mode & 0o077) !== 0 && !isPassage(found)) {
    return {
      name,
      result: "wrong",
      finding: `${folder} has mode ${mode.toString(8)}: others on this machine can look in`,
      fix: `chmod 700 "${folder}"`,
    };
  }
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  return free < 256 * 1024 * 1024
    ? {
        name,
        result: "warning",
        finding: `${folder}: only ${formatSize(free)} free`,
        fix: "Every deploy keeps its version: make room.",
      }
    : { name, result: "ok", finding: `${folder}, ${formatSize(free)} free` };
}

/** A clock that was set back makes certificates "not yet valid". The database's file then has a later time. */
function checkClock({ dataFolder, now }: CheckOptions): Check {
  const name = "clock";
  const database = join(dataFolder, "countersign.db");
  const newest = existsSync(database) ? statSync(database).mtime : new Date(0);
  const released = new Date("2026-11-01");
  if (newest.getTime() > now.getTime() + 60_000 || now < released) {
    const known = newest > released ? newest : released;
    return {
      name,
      result: "wrong",
      finding: `says ${now.toISOString()}, but it was ${known.toISOString()} before`,
      fix: "Set the clock (timedatectl set-ntp true): certificates are judged by it.",
    };
  }
  return { name, result: "ok", finding: now.toISOString() };
}

async function checkPort(name: string, port: number): Promise<Check> {
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(null)));
  });
  return error === null
    ? { name, result: "ok", finding: `${port} is free` }
    : {
        name,
        result: "wrong",
        finding: `${port} cannot be listened on: ${error.code}`,
        fix: `Stop what listens there, or start with --${name.replace(" ", "-")} 0`,
      };
}

function checkProcesses(status: PlatformStatus): readonly Check[] {
  const workers = status.workers.map((worker) => ({ name: `worker ${worker.scriptName}`, worker }));
  return [
    ...status.gatewayProcesses.map((one) => ({
      name: "gateway",
      worker: { ...one, memory: null },
    })),
    ...status.ingressProcesses.map((one) => ({
      name: "ingress",
      worker: { ...one, memory: null },
    })),
    ...workers,
  ].map(({ name, worker: { state, pid, memory, restarts, lastExit } }) => {
    const again = restarts > 0 ? `, restarted ${restarts} times, last: ${lastExit}` : "";
    // After each deploy the previous version still answers its requests in flight.
    if (state === "draining")
      return { name, result: "ok", finding: "a version before is draining" };
    if (state === "idle")
      return { name, result: "ok", finding: "idle, its next request starts it" };
    if (state === "running") {
      const result = restarts > 0 ? "warning" : "ok";
      const size = memory === null ? "" : ` with ${formatSize(memory)}`;
      return { name, result, finding: `running as process ${pid}${size}${again}` };
    }
    return { name, result: "wrong", finding: `${state}${lastExit ? `: ${lastExit}` : ""}` };
  });
}

function checkCertificateWarnings({ certificates }: PlatformStatus): readonly Check[] {
  return certificates.flatMap(({ id, name, warnings }) =>
    warnings.map((warning) => ({
      name: "certificate",
      result: "warning" as const,
      finding: `${name ?? id}: ${warning}`,
    })),
  );
}

/** An old list lacks what its CA has revoked since. */
function checkRevocationLists({ revocationLists }: PlatformStatus): readonly Check[] {
  return revocationLists.map(({ url, issuer, warning }) => ({
    name: "crl",
    result: "warning",
    finding: `the revocation list of ${issuer}${url === null ? "" : ` from ${url}`}: ${warning}`,
    fix: `countersign host crl ${url ?? "FILE"}`,
  }));
}

function checkOldTls({ unsafeOldTls }: PlatformStatus): readonly Check[] {
  if (unsafeOldTls.length === 0) return [];
  return [
    {
      name: "old tls",
      result: "warning",
      unsafe: true,
      finding: `${unsafeOldTls.join(", ")} may choose cipher suites without forward secrecy`,
      fix: "Enable TLS 1.3, or ECDHE with AES-GCM, there; then start without --unsafe-old-tls.",
    },
  ];
}

/** The host does not present the renewed certificate of its folder, or was not renewed by ACME. */
function checkHostFolders({ hostCertificates }: PlatformStatus): readonly Check[] {
  return hostCertificates.flatMap(({ hosts, source, failure }) =>
    failure === null
      ? []
      : [
          {
            name: "host",
            result: "warning" as const,
            finding: `${hosts[0]} presents the certificate before: ${failure}`,
            fix:
              source === "acme"
                ? `countersign host acme ${hosts[0]}: tries again at once.`
                : `countersign host certificate ${hosts[0]} --folder DIR`,
          },
        ],
  );
}

/** Every client sees a host's expired certificate, so this is worse than an expired certificate of one binding. */
function checkHostCertificates({ hostCertificates }: PlatformStatus, now: Date): readonly Check[] {
  return hostCertificates
    .filter(({ expiresOn }) => Date.parse(expiresOn) - now.getTime() < MONTH)
    .map(({ hosts, expiresOn }) => ({
      name: "host",
      result: Date.parse(expiresOn) <= now.getTime() ? "wrong" : "warning",
      finding: `the certificate of ${hosts.join(", ")} ${describeExpiry(new Date(expiresOn), now)}`,
      fix: `countersign host certificate ${hosts[0]} --cert FILE --key FILE: connections stay open.`,
    }));
}

/** Once this certificate has expired, an origin that asks for one refuses all requests. */
function checkOriginPulls({ originPulls }: PlatformStatus, now: Date): readonly Check[] {
  return originPulls
    .filter(({ expiresOn }) => Date.parse(expiresOn) - now.getTime() < MONTH)
    .map(({ names, expiresOn }) => ({
      name: "origin pull",
      result: Date.parse(expiresOn) <= now.getTime() ? "wrong" : "warning",
      finding: `the certificate for origins of ${names.join(", ")} ${describeExpiry(new Date(expiresOn), now)}`,
      fix: "Upload the next one at /zones/{zone_id}/origin_tls_client_auth: the newest is presented.",
    }));
}

/** ms */
const MONTH = 30 * 86_400_000;

function checkCertificates(status: PlatformStatus, now: Date): readonly Check[] {
  const ending = status.certificates.filter(
    ({ expiresOn }) => Date.parse(expiresOn) - now.getTime() < MONTH,
  );
  if (ending.length === 0) {
    const count = status.certificates.length;
    return [{ name: "certificates", result: "ok", finding: `${count}, none expires in 30 days` }];
  }
  return ending.map(({ id, name, expiresOn }) => ({
    name: "certificate",
    result: Date.parse(expiresOn) <= now.getTime() ? "wrong" : "warning",
    finding: `${name ?? id} ${describeExpiry(new Date(expiresOn), now)}`,
    fix: `countersign certificate rotate ${name ?? id} --cert FILE --key FILE: no deploy is needed.`,
  }));
}
