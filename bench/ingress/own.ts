import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { startEdge } from "../../src/edge/start-edge.ts";
import { makeVersion, MASTER_KEY, TestSource } from "../../test/helpers/source.ts";
import type { Lab } from "../lab.ts";
import { SMALL } from "../origin.ts";
import { type Front, HOST, type IngressMaterial, type Way } from "./front.ts";

const WORKER = `const body = ${JSON.stringify(SMALL)};
const headers = { "content-type": "application/json" };
export default { fetch: () => new Response(body, { headers }) };
`;

export interface Own {
  readonly front: Front;
  /** The Worker behind all fronts. */
  readonly worker: { readonly pid: number; readonly socket: string };
  stop(): Promise<void>;
}

/** Starts the Worker, and our ingress in front of it. */
export async function startOwn(lab: Lab, { authority, server }: IngressMaterial): Promise<Own> {
  const source = new TestSource();
  source.deploy(makeVersion("bench", WORKER), { hosts: [HOST] });
  const runDirectory = join(lab.folder, "run");
  const byDefault = { chain: server.chain, key: server.key };
  const edge = await startEdge({
    source,
    masterKey: MASTER_KEY,
    runDirectory,
    httpPort: 0,
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault },
    clientConnections: 0,
    gateway: { logLevel: "silent" },
    log: pino({ level: "warn" }, pino.destination(2)),
    stopGrace: 500,
  });
  const clients = {
    mode: "required" as const,
    authorities: [authority.pem],
    revoked: [],
    forward: false,
  };
  const https = Number(new URL(edge.httpsUrl!).port);
  const status = edge.status();
  return {
    front: {
      name: "ingress",
      what: "our ingress, one process",
      pid: status.ingress.pid!,
      ports: { HTTP: edge.httpPort, HTTPS: https, "HTTPS, client certificate": https },
      // Handshakes differ once any host asks for certificates.
      prepare: async (way: Way) => {
        const asks = way === "HTTPS, client certificate";
        const hosts = asks ? [{ host: HOST, certificate: null, clients }] : [];
        await edge.applied(source.setHosts(hosts));
      },
    },
    worker: { pid: status.workers[0]!.pid!, socket: await socketIn(join(runDirectory, "g")) },
    stop: async () => edge[Symbol.asyncDispose](),
  };
}

/** The socket of the only generation. */
async function socketIn(folder: string): Promise<string> {
  const [generation, ...others] = await readdir(folder);
  if (generation === undefined || others.length > 0)
    throw new Error(`${folder} has not one Worker`);
  return join(folder, generation, "main");
}
