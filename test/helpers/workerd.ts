import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { TestContext } from "node:test";

const workerd = (createRequire(import.meta.url)("workerd") as { default: string }).default;

export interface TestWorkerd {
  /** The Unix socket that its Worker answers on. */
  readonly socketPath: string;
  get(path: string): Promise<{ status: number; text: string }>;
}

/** A real workerd with one Worker, whose binding `CERT` is the gateway's socket in `directory`. */
export async function startWorkerd(
  t: TestContext,
  directory: string,
  script: string,
): Promise<TestWorkerd> {
  await writeFile(join(directory, "worker.js"), script);
  await writeFile(join(directory, "workerd.capnp"), config);
  const child = spawn(
    workerd,
    ["serve", "--experimental", "--control-fd=3", join(directory, "workerd.capnp")],
    { cwd: directory, stdio: ["ignore", "inherit", "inherit", "pipe"] },
  );
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await once(child.stdio[3]!, "data");
  const socketPath = join(directory, "worker.sock");
  return {
    socketPath,
    get: async (path) => {
      const request = httpRequest({ socketPath, path, agent: false, headers: { host: "worker" } });
      request.end();
      const [response] = (await once(request, "response")) as [IncomingMessage];
      response.setEncoding("utf8");
      return { status: response.statusCode!, text: (await response.toArray()).join("") };
    },
  };
}

const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01",
      bindings = [(name = "CERT", service = "certificate")],
    )),
    (name = "certificate", external = (address = "unix:CERT.sock", http = (style = proxy))),
  ],
  sockets = [(name = "http", address = "unix:worker.sock", http = (), service = "main")],
);
`;
