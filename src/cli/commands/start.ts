import type { ShownDetails } from "../../failures/rendered.ts";
import { TRUST_DOMAIN } from "../../contract/identity.ts";
import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import { eraseVariable } from "../../process/erase-variable.ts";
import type { PlatformOptions } from "../../platform/platform-options.ts";
import { closeMemory, describeClosedMemory } from "../../process/closed-memory.ts";
import { widenThreadPool } from "../../process/thread-pool.ts";
import { SANDBOX_MODES, type SandboxMode } from "../../process/walls/sandbox-kinds.ts";
import type { ApiOptions } from "./start-api.ts";
import { masterKeyVariables } from "../../keys/master-key.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { addGatewayOptions, gatewayOptions, type GatewayProcessOptions } from "../start-gateway.ts";
import { limit, port, processes, numberWithin } from "../start-numbers.ts";
import { addWorkerPorts, type WorkerPortOptions, workerPorts } from "../start-worker-ports.ts";
import { addWorkerShares, type WorkerShareOptions, workerShares } from "../start-workers.ts";
import { isTerminal, withProgress, writeLine, type Io } from "../../terminal/io.ts";
import { StopSignal } from "../../terminal/stop-signal.ts";

export function addStartCommand(program: Command, io: Io): void {
  addGatewayOptions(addWorkerPorts(addWorkerShares(program.command("start"))))
    .option(...dataOption)
    .option("--host <address>", "the address where Workers answer", "127.0.0.1")
    .option("--api-host <address>", "the address of the v4 API and the sign-in pages", "127.0.0.1")
    .option("--api-port <n>", "the port of the v4 API; 0 takes a free one", "4400")
    .option("--http-port <n>", "the port at which Workers answer; 0 takes a free one", "4480")
    .option("--https-port <n>", "serve Workers over TLS at this port as well; 0 takes a free one")
    .option("--https-host <address>", "the address of --https-port (default: that of --host)")
    .option("--https-redirect", "answer plain requests for Workers with a redirect to --https-port")
    .option(
      "--local-name <host...>",
      "names beside *.localhost that this machine's own CA speaks for",
    )
    .option("--api-cert <file>", "serve the API over TLS: its chain, PEM; followed when renewed")
    .option("--api-key <file>", "the private key of --api-cert")
    .option(
      "--https-only",
      "the API over TLS only, without --api-cert with a certificate of the local CA; with --https-port Workers, too",
    )
    .option("--unsafe-plain-api", "let the API listen on a network in plain HTTP")
    .option("--public-url <url>", "where the API is reached, if not at its own address")
    .option(
      "--trusted-proxies <cidr...>",
      "proxies whose X-Forwarded-For and PROXY protocol count, for the API and for Workers",
    )
    .option(
      "--forwarded-header <kind>",
      "what these proxies set: x-forwarded (-For and -Proto), or forwarded (RFC 7239)",
      "x-forwarded",
    )
    .option(
      "--client-connections <n>",
      "how many connections one client address may have to Workers, trusted proxies aside; 0: no limit",
      "1024",
    )
    .option(
      "--client-stalled <s>",
      "seconds that a client may take nothing of what a Worker sends it; 0: no limit",
      "300",
    )
    .option("--dev", "development: bindings may reach origins on this machine (loopback)")
    .option(
      "--origin-allow <cidr...>",
      "addresses that bindings may reach in addition to the usual ones",
    )
    .option("--origin-port <n>", "the port of origins that DNS records name", "443")
    .option("--origin-deny <cidr...>", "addresses that bindings may not reach")
    .option(
      "--fetch-allow <network...>",
      "what fetch() without a binding may reach: public, private, local, or a CIDR (default: public)",
    )
    .option(
      "--worker-processes <n>",
      "how many processes each Worker runs in, or auto: one for each core",
      "1",
    )
    .option(
      "--ingress-processes <n>",
      "how many processes accept clients' connections, or auto: one for each core",
      "1",
    )
    .option("--worker-memory <mib>", "the heap of each process of a Worker; 0: no limit", "128")
    .option(
      "--worker-cpu-limit <s>",
      "seconds that a Worker may compute without answering; 0: no limit",
      "10",
    )
    .option("--trust-domain <name>", "the trust domain in the SPIFFE IDs of Workers", TRUST_DOMAIN)
    .option(
      "--sandbox <mode>",
      "keep Workers apart by the operating system: auto, required (refuse to start without), or off",
      "auto",
    )
    .option("--log-days <n>", "how long the logs of Workers are kept", "7")
    .option("--log-size <mib>", "how much of each Worker's log is kept", "64")
    .option("--metrics-port <n>", "serve Prometheus metrics on this loopback port, at /metrics")
    .option(
      "--otlp-endpoint <url>",
      "export a span of each request through a binding to this OTLP/HTTP collector (default: $OTEL_EXPORTER_OTLP_ENDPOINT)",
    )
    .option(
      "--failure-details <whose>",
      "public: a failure's body names hosts and addresses; owner: code and ray, the rest is in the log (default: owner, with --dev public)",
    )
    .option("--no-in-process", "no binding is in-process: every private key stays in the gateway")
    .option("--audit-days <n>", "how long entries of the audit log are kept; 0: for ever", "0")
    .option("--system-roots", "trust the operating system's roots for origins as well")
    .option(
      "--unsafe-old-tls <host...>",
      "origins that may choose TLS 1.2 cipher suites without forward secrecy or AEAD",
    )
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .option("--json", "one line on stdout once it is ready; the log goes to stderr either way")
    .addHelpText(
      "after",
      `
The first start makes the data folder, a master key, an account, and an API token, which it prints once.
Workers answer strangers, the API takes tokens and private keys: each has an address of its own.
Bindings reach public and private addresses, not loopback, link-local or cloud metadata addresses.
SIGINT or SIGTERM ends it: requests in flight are answered first.

Examples:
  $ countersign start
  $ countersign start --dev                      # origins on localhost, too
  $ countersign start --worker-processes auto    # every Worker on every core
  $ countersign start --gateway-processes auto   # origins, too: handshakes and large bodies
  $ countersign start --ingress-processes 2      # clients, too: handshakes and large bodies
  $ countersign start --idle-after 15m           # Workers without requests take no memory
  $ countersign start --worker-port shop=8080       # a Worker without the ingress before it
  $ countersign start --sandbox required         # not without a sandbox around each Worker
  $ countersign start --unsafe-old-tls erp.internal    # an origin with no current cipher suite
  $ countersign start --data ./data --api-port 0 --http-port 0 --json
  $ countersign start --host 0.0.0.0             # Workers for everybody, the API for this machine
  $ countersign start --https-port 4443          # https://NAME.localhost:4443, from a local CA
  $ countersign start --host 0.0.0.0 --http-port 80 --https-port 443 --https-redirect
  $ countersign start --api-host 0.0.0.0 --api-cert tls.crt --api-key tls.key --public-url https://cs.example:4400
  $ countersign start --https-only --https-port 4443    # nothing in clear; \`countersign env\` names the CA
  $ countersign start --host 0.0.0.0 --trusted-proxies 10.0.0.0/8 --public-url https://cs.example
  $ COUNTERSIGN_MASTER_KEY="$(cat key)" countersign start --fetch-allow public 10.0.0.0/8`,
    )
    .action((options: StartOptions) => start(io, options));
}

interface StartOptions
  extends ApiOptions, GatewayProcessOptions, WorkerShareOptions, WorkerPortOptions {
  readonly data?: string;
  readonly host: string;
  readonly apiHost: string;
  readonly apiPort: string;
  readonly httpPort: string;
  readonly httpsPort?: string;
  readonly httpsHost?: string;
  readonly httpsRedirect?: true;
  readonly localName?: string[];
  readonly clientConnections: string;
  readonly clientStalled: string;
  readonly originPort: string;
  readonly dev?: true;
  readonly originAllow?: string[];
  readonly originDeny?: string[];
  readonly fetchAllow?: string[];
  readonly workerProcesses: string;
  readonly ingressProcesses: string;
  readonly workerMemory: string;
  readonly workerCpuLimit: string;
  readonly trustDomain: string;
  readonly sandbox: string;
  readonly metricsPort?: string;
  readonly logDays: string;
  readonly logSize: string;
  readonly otlpEndpoint?: string;
  readonly failureDetails?: string;
  readonly inProcess: boolean;
  readonly auditDays: string;
  readonly systemRoots?: true;
  readonly unsafeOldTls?: string[];
  readonly logLevel: string;
  readonly json?: true;
}

async function start(io: Io, options: StartOptions): Promise<void> {
  const began = performance.now();
  widenThreadPool();
  const { oldTlsHosts, warnOfOldTls } = await import("./start-old-tls.ts");
  const { apiTls, proxiesOf, warnOfPlainApi } = await import("./start-api.ts");
  const { createLog } = await import("../../platform/log.ts");
  const { startPlatform } = await import("../../platform/platform.ts");
  const log = createLog({
    level: options.logLevel,
    stream: io.stderr,
    pretty: isTerminal(io.stderr),
  });
  const { replacePlatform, Uncaught } = await import("../replace.ts");
  const masterKey = masterKeyVariables(io.env);
  // Other processes of this user can read the environment, and a child process would inherit it.
  if (masterKey.key !== undefined) eraseVariable("COUNTERSIGN_MASTER_KEY");
  using stop = new StopSignal();
  const stopped = stop.came.then(() => "stopped" as const);
  const platform = await withProgress(io, "Starting", () =>
    startPlatform({
      dataFolder: dataFolderOf(io, options.data),
      host: options.host,
      apiHost: options.apiHost,
      apiTls: apiTls(options),
      unsafePlainApi: options.unsafePlainApi === true,
      proxies: proxiesOf(options),
      originPort: numberWithin("--origin-port", options.originPort, [1, 65_535]),
      clientConnections: limit("--client-connections", options.clientConnections, [1, 1_000_000]),
      clientStalled: limit("--client-stalled", options.clientStalled, [1, 86_400]) * 1000,
      apiPort: port("--api-port", options.apiPort),
      httpPort: port("--http-port", options.httpPort),
      https: httpsAddress(options),
      localNames: localNames(options.localName ?? []),
      publicUrl: options.publicUrl === undefined ? null : origin(options.publicUrl),
      development: options.dev === true,
      originAllow: options.originAllow ?? [],
      originDeny: options.originDeny ?? [],
      fetchAllow: options.fetchAllow ?? ["public"],
      workerPorts: workerPorts(options, io.cwd),
      workerProcesses: processes("--worker-processes", options.workerProcesses, MOST_PROCESSES),
      ingressProcesses: processes("--ingress-processes", options.ingressProcesses, MOST_INGRESSES),
      ...gatewayOptions(options),
      limits: {
        memory: limit("--worker-memory", options.workerMemory, [16, 16_384]),
        cpu: limit("--worker-cpu-limit", options.workerCpuLimit, [1, 3_600]),
      },
      trustDomain: options.trustDomain,
      sandbox: sandboxMode(options.sandbox),
      workerShares: workerShares(options),
      logs: {
        age: numberWithin("--log-days", options.logDays, [1, 366]) * 24 * 3_600_000,
        bytes: numberWithin("--log-size", options.logSize, [1, 65_536]) * 1024 * 1024,
      },
      metricsPort:
        options.metricsPort === undefined ? null : port("--metrics-port", options.metricsPort),
      otlpEndpoint: otlpEndpoint(io, options.otlpEndpoint),
      failureDetails: failureDetails(options.failureDetails ?? (options.dev ? "public" : "owner")),
      inProcess: options.inProcess,
      auditDays: limit("--audit-days", options.auditDays, [1, 36_500]),
      systemRoots: options.systemRoots === true,
      unsafeOldTls: oldTlsHosts(options),
      masterKey,
      log,
    }),
  );
  using uncaught = new Uncaught(log);
  try {
    const { api, http, https, metrics, workers, accountId, sandbox, users, token } = platform;
    const memory = describeClosedMemory(closeMemory());
    if (options.json) {
      // `accountId` stays for programs written for the first version.
      const line = { ready: true, api, http, https, account_id: accountId, accountId };
      writeLine(
        io.stdout,
        JSON.stringify({
          ...line,
          ...(metrics && { metrics }),
          ...(Object.keys(workers).length > 0 && { workers }),
          sandbox,
          users,
          memory,
          token,
        }),
      );
    } else {
      const { welcome } = await import("../start-welcome.ts");
      welcome(io, platform, memory, performance.now() - began);
    }
    if (platform.apiIsInClear) warnOfPlainApi(io, api);
    warnOfOldTls(io, oldTlsHosts(options));
    const why = await Promise.race([stopped, uncaught.first]);
    if (why !== "stopped") {
      const key = masterKey.key && { COUNTERSIGN_MASTER_KEY: masterKey.key };
      await replacePlatform(platform, { ...io.env, ...key });
    }
  } finally {
    await withProgress(io, "Stopping: answering what is in flight", async () => {
      await platform[Symbol.asyncDispose]();
    });
  }
}

/** @throws Failure `usage` */
function httpsAddress(options: StartOptions): PlatformOptions["https"] {
  const { httpsPort, httpsHost = options.host, httpsRedirect = false, httpsOnly = false } = options;
  const redirect = httpsRedirect || httpsOnly;
  if (httpsPort !== undefined)
    return { host: httpsHost, port: port("--https-port", httpsPort), redirect };
  if (options.httpsHost === undefined && !httpsRedirect) return null;
  const option = httpsRedirect ? "--https-redirect" : "--https-host";
  throw new Failure("usage", { message: `${option} is of use with --https-port only` });
}

/** @throws Failure `usage` */
function localNames(names: readonly string[]): readonly string[] {
  const lower = names.map((name) => name.toLowerCase());
  const wrong = lower.find((name) => !/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(name));
  if (wrong === undefined) return lower;
  throw new Failure("usage", { message: `--local-name "${wrong}" is not the name of a host` });
}

function sandboxMode(text: string): SandboxMode {
  const mode = SANDBOX_MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new Failure("usage", {
    message: `--sandbox "${text}" is none of ${SANDBOX_MODES.join(", ")}`,
  });
}

function failureDetails(text: string): ShownDetails {
  if (text === "public" || text === "owner") return text;
  throw new Failure("usage", {
    message: `--failure-details "${text}" is neither public nor owner`,
  });
}

/** A workerd takes 9 MB before it has done anything, so a larger number is a mistake. */
const MOST_PROCESSES = 256;
/** Each takes 75 MB. */
const MOST_INGRESSES = 32;

function origin(text: string): string {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw new Failure("usage", {
    message: `--public-url "${text}" is not the origin of a web address, like https://countersign.example`,
  });
}

/** As OpenTelemetry specifies, an empty variable counts as unset. */
function otlpEndpoint(io: Io, option: string | undefined): string | null {
  const text = option ?? (io.env["OTEL_EXPORTER_OTLP_ENDPOINT"] || null);
  if (text === null) return null;
  const url = URL.parse(text);
  const isBase = url !== null && /^https?:$/.test(url.protocol) && !/[?#]/.test(text);
  if (isBase && url.username === "" && url.password === "") return url.href;
  const source = option === undefined ? "OTEL_EXPORTER_OTLP_ENDPOINT" : "--otlp-endpoint";
  // Not quoted, because it may contain a password.
  throw new Failure("usage", {
    message: `${source} is not the base URL of a collector, like http://127.0.0.1:4318, without credentials or query`,
  });
}
