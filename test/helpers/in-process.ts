import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";

const workerd = createRequire(import.meta.url)("workerd") as { readonly default: string };

export interface InProcessOptions {
  readonly origin: string;
  readonly authority: string;
  readonly chain: string;
  readonly privateKey: string;
  /** The address and port of the origin, if its name does not resolve. */
  readonly address?: string;
}

/**
 * Sends one request to an origin through workerd's own TLS, as an `in-process` binding does.
 * @returns the origin's answer, or workerd's stderr if it did not start
 */
export async function fetchInProcess(
  options: InProcessOptions,
): Promise<{ readonly answer: string } | { readonly refused: string }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-workerd-"));
  const config = join(folder, "config.capnp");
  await writeFile(config, configuration(options));
  const child = spawn(workerd.default, ["serve", "--control-fd=3", config], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  const stderr = text(child.stderr as Readable);
  try {
    for await (const chunk of child.stdio[3] as Readable) {
      const { port } = JSON.parse(String(chunk)) as { readonly port: number };
      const [status, answer] = await ask(port);
      if (status === 200) return { answer };
      child.kill();
      return { refused: `${answer}\n${await stderr}` };
    }
    return { refused: await stderr };
  } finally {
    child.kill();
    await ended;
    await rm(folder, { recursive: true });
  }
}

/** On a separate connection: ports are reused, and a pool would offer the connection of an earlier process. */
async function ask(port: number): Promise<readonly [status: number | undefined, body: string]> {
  return new Promise((resolve, reject) => {
    get({ port, host: "127.0.0.1", agent: false }, (response) => {
      text(response).then((body) => resolve([response.statusCode, body]), reject);
    }).on("error", (error) => resolve([0, error.message]));
  });
}

function configuration(options: InProcessOptions): string {
  const { origin, authority, chain, privateKey, address } = options;
  const script = `export default { fetch: () => fetch(${JSON.stringify(origin)}) }`;
  const tlsOptions = `tlsOptions = (
    trustedCertificates = [${JSON.stringify(authority)}],
    keypair = (privateKey = ${JSON.stringify(privateKey)}, certificateChain = ${JSON.stringify(chain)}),
  )`;
  const host = JSON.stringify(new URL(origin).hostname);
  const wayOut =
    address === undefined
      ? `network = (allow = ["private", "public"], ${tlsOptions})`
      : `external = (address = "${address}", https = (certificateHost = ${host}, ${tlsOptions}))`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "index.js", esModule = ${JSON.stringify(script)})],
      compatibilityDate = "2026-11-17",
      globalOutbound = "origin",
    )),
    (name = "origin", ${wayOut}),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);`;
}
