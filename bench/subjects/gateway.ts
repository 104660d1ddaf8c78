import { join } from "node:path";
import { pino } from "pino";
import type { Source, WorkerVersion } from "../../src/contract/change-feed.ts";
import { startEdge } from "../../src/edge/start-edge.ts";
import { startGateway } from "../../src/gateway/start.ts";
import { productConfig } from "./product-worker.ts";
import { ACCOUNT, accountTrust, edgeCertificate, GATEWAY_OPTIONS, MASTER_KEY } from "../product.ts";
import type { Subject, Surroundings } from "./subject.ts";
import { runPrepared, WORKER } from "./workerd.ts";

const CERTIFICATE_ID = "bench";
const SCRIPT = "bench";

/** A Worker with the product's configuration and a port, behind which the gateway runs. */
export const gateway: Subject = gatewayOf("gateway", 1);
export const twoGateways: Subject = gatewayOf("gateway × 2", 2);

function gatewayOf(name: string, count: number): Subject {
  return {
    name,
    what: `the Worker as the product configures it, then our gateway${count === 1 ? "" : ` in ${count} processes`}`,
    start: async (surroundings) => {
      const { lab, material } = surroundings;
      const socket = `binding-${count}.sock`;
      const config = `gateway-${count}.capnp`;
      const handle = await startGateway({
        ...GATEWAY_OPTIONS,
        count,
        runDirectory: lab.folder,
        masterKey: MASTER_KEY,
      });
      await handle.setTrust(ACCOUNT, accountTrust(material));
      await handle.setCertificate(edgeCertificate(CERTIFICATE_ID, material.client));
      await handle.openBinding({
        socketPath: socket,
        accountId: ACCOUNT,
        scriptName: SCRIPT,
        bindingName: "ORIGIN",
        certificateId: CERTIFICATE_ID,
      });
      const text = productConfig(`gateway-${count}`, workerVersion(surroundings), {
        bindingSocket: () => socket,
      });
      await lab.write("worker.js", WORKER);
      await lab.write(config, text);
      // wrk does not support Unix sockets, so this socket is moved to a port.
      const worker = await runPrepared(lab, config, 2, ["--socket-addr=main=127.0.0.1:0"]);
      return {
        base: `http://127.0.0.1:${worker.port}`,
        processes: {
          workerd: worker.pid,
          ...Object.fromEntries(
            handle
              .processes()
              .map(({ pid }, at) => [count === 1 ? "gateway" : `gateway ${at + 1}`, pid!]),
          ),
        },
        socket: lab.path(socket),
        resumes: true,
        stop: async () => handle[Symbol.asyncDispose](),
      };
    },
  };
}

/** The whole path: our ingress, the Worker and our gateway, each started by the edge. */
export const gatewayWithIngress: Subject = {
  name: "gateway + ingress",
  what: "our ingress, the Worker, our gateway",
  start: async (surroundings) => {
    const edge = await startEdge({
      source: staticSource(surroundings),
      masterKey: MASTER_KEY,
      runDirectory: join(surroundings.lab.folder, "run"),
      httpPort: 0,
      gateway: GATEWAY_OPTIONS,
      log: pino({ level: "warn" }, pino.destination(2)),
      stopGrace: 500,
    });
    const status = edge.status();
    return {
      base: edge.httpUrl,
      host: `${SCRIPT}.localhost`,
      processes: {
        ingress: status.ingress.pid!,
        workerd: status.workers[0]!.pid!,
        gateway: status.gateway.pid!,
      },
      resumes: true,
      stop: async () => edge[Symbol.asyncDispose](),
    };
  },
};

function workerVersion({ origin }: Surroundings): WorkerVersion {
  return {
    accountId: ACCOUNT,
    scriptName: SCRIPT,
    versionId: "11111111-1111-4111-8111-111111111111",
    mainModule: "worker.js",
    modules: [{ name: "worker.js", type: "esm", content: Buffer.from(WORKER) }],
    compatibilityDate: "2026-11-17",
    compatibilityFlags: [],
    bindings: [
      { name: "ORIGIN", type: "mtls_certificate", certificateId: CERTIFICATE_ID },
      { name: "BASE", type: "plain_text", text: `https://localhost:${origin.port}` },
      { name: "RESUMES", type: "plain_text", text: `https://localhost:${origin.resumingPort}` },
    ],
  };
}

/** A control plane in which nothing changes. */
function staticSource(surroundings: Surroundings): Source {
  const { material } = surroundings;
  const certificate = edgeCertificate(CERTIFICATE_ID, material.client);
  const key = { accountId: ACCOUNT, scriptName: SCRIPT };
  return {
    snapshot: async () => ({
      cursor: 0,
      scripts: [key],
      certificates: [certificate],
      databases: [],
      accounts: [ACCOUNT],
    }),
    // oxlint-disable-next-line require-yield
    changes: async function* (_, signal) {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
    queues: async () => [],
    zones: async () => [],
    preview: async () => null,
    deployment: async () => ({
      ...key,
      versions: [{ version: workerVersion(surroundings), percentage: 100 }],
      hosts: [`${SCRIPT}.localhost`],
      routes: [],
    }),
    certificate: async () => certificate,
    database: async () => null,
    trust: async () => accountTrust(material),
    hosts: async () => [],
    challenges: async () => [],
    revocations: async () => [],
    origins: async () => [],
    routedHosts: async () => [],
    access: async () => ({ applications: [], tokens: [], authorities: [], keys: [] }),
  };
}
