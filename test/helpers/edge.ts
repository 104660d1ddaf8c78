import { mkdtemp, rm } from "node:fs/promises";
import {
  request,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type RequestOptions,
} from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { WorkerStatus } from "../../src/contract/edge.ts";
import { startEdge } from "../../src/edge/start-edge.ts";
import type { EdgeOptions, StartedEdge } from "../../src/edge/edge-options.ts";
import type { WorkerVersion } from "../../src/contract/change-feed.ts";
import { gatewayModule } from "./program.ts";
import { MASTER_KEY, TestSource } from "./source.ts";

export interface TestEdge extends AsyncDisposable {
  readonly edge: StartedEdge;
  readonly source: TestSource;
  readonly runDirectory: string;
  /** Deploys through the feed and waits until it is in force. */
  deploy(...args: Parameters<TestSource["deploy"]>): Promise<void>;
  /** Stages the version first, as the control plane does. */
  stageAndDeploy(version: WorkerVersion): Promise<void>;
  worker(scriptName: string): WorkerStatus;
  fetch(host: string, path?: string, options?: RequestOptions & { body?: string }): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A real edge on a free port, in a temporary folder. */
export async function startTestEdge(
  options: Partial<EdgeOptions> & { source?: TestSource } = {},
): Promise<TestEdge> {
  const source = options.source ?? new TestSource();
  const runDirectory = options.runDirectory ?? (await mkdtemp(join(tmpdir(), "countersign-edge-")));
  const edge = await startEdge({
    masterKey: MASTER_KEY,
    httpPort: 0,
    log: pino({ level: process.env["TEST_LOG"] ?? "silent" }),
    drain: 5_000,
    waitUntil: 0,
    stopGrace: 500,
    gateway: { modulePath: gatewayModule, logLevel: "silent" },
    ...options,
    source,
    runDirectory,
  });
  return {
    edge,
    source,
    runDirectory,
    deploy: async (...args) => edge.applied(source.deploy(...args)),
    stageAndDeploy: async (version) => {
      await edge.stage(version);
      await edge.applied(source.deploy(version));
    },
    worker: (scriptName) =>
      edge.status().workers.find((worker) => worker.scriptName === scriptName)!,
    fetch: (host, path = "/", { body, ...rest } = {}) =>
      new Promise((resolve, reject) => {
        const headers = {
          host: `${host}:${edge.httpPort}`,
          ...(rest.headers as OutgoingHttpHeaders),
        };
        request({ port: edge.httpPort, host: "127.0.0.1", path, ...rest, headers }, (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (text += chunk));
          response.on("end", () =>
            resolve({ status: response.statusCode!, headers: response.headers, text }),
          );
          response.on("error", reject);
        })
          .on("error", reject)
          .end(body);
      }),
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await rm(runDirectory, { recursive: true, force: true });
    },
  };
}

/** A Worker, and `hasCome`, which tells whether a request has reached it. `body` is the handler's. */
export function untilCame(body: string): string {
  return `let came = false;
    export default { async fetch(request) {
      if (new URL(request.url).pathname === "/came") return new Response(String(came));
      came = true;
      ${body}
    } };`;
}

export async function hasCome(edge: TestEdge, scriptName: string): Promise<boolean> {
  return (await edge.fetch(`${scriptName}.localhost`, "/came")).text === "true";
}

/** A Worker that answers with `text`. */
export function answering(text: string): string {
  return `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;
}
