/**
 * Runs in a separate network namespace, in which every address below belongs to this machine. Tries each address
 * through every way out, and prints a line of JSON, `{ [way]: [reached addresses] }`.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { isIPv6, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { defaultOptions } from "../../src/contract/gateway-options.ts";
import { capnpText } from "../../src/edge/config/capnp.ts";
import { dial } from "../../src/gateway/origin/dial.ts";
import { AddressPolicy } from "../../src/network/addresses.ts";
import { Outbound } from "../../src/network/outbound.ts";
import { bindingNetwork, fetchNetwork } from "../../src/network/workerd-network.ts";

interface Task {
  readonly addresses: readonly string[];
  /** `--origin-allow`, `--origin-deny`, `--dev`, `--fetch-allow`. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly development: boolean;
  readonly fetchAllow: readonly string[];
  /** Addresses and ports of the platform itself. */
  readonly own: readonly string[];
}

const task = JSON.parse(process.argv[2]!) as Task;
const ip = (...args: string[]): void => void execFileSync("ip", args, { stdio: "pipe" });

ip("link", "set", "lo", "up");
for (const address of task.addresses) {
  try {
    if (isIPv6(address)) ip("-6", "addr", "add", `${address}/128`, "dev", "lo", "nodad");
    else ip("addr", "add", `${address}/32`, "dev", "lo");
  } catch {
    // Loopback exists already; multicast and similar addresses cannot be added.
  }
}
const server = createServer((_, response) => response.end("REACHED")).listen(0, "::");
await once(server, "listening");
const { port } = server.address() as AddressInfo;

const addressOptions = { ...task, denyLocalPorts: [] };
const policy = new AddressPolicy(addressOptions);
const ways: Record<string, (address: string) => Promise<boolean>> = {
  "a binding": async (address) => {
    const resolve = (): Promise<{ address: string; family: number }[]> =>
      Promise.resolve([{ address, family: isIPv6(address) ? 6 : 4 }]);
    const timeouts = { ...defaultOptions.timeouts, connect: 1000 };
    const socket = await dial({ host: "name.example", port }, { policy, timeouts, resolve });
    socket.destroy();
    return true;
  },
  webhook: async (address) => {
    // Over http:// it reaches named addresses only; the judgement before that is the same.
    if (policy.refuses(address, port) !== null) return false;
    await using outbound = new Outbound({
      policy: new AddressPolicy({ ...addressOptions, allow: [...task.allow, address] }),
    });
    const answer = await outbound.send(url(address), { method: "GET", timeout: 1000 });
    return answer.body.toString() === "REACHED";
  },
};

const folder = mkdtempSync(join(tmpdir(), "ways-out-"));
const worker = `import { connect } from "cloudflare:sockets";
  export default { async fetch(request, env) {
    const { way, url } = await request.json();
    try {
      if (way === "connect()") {
        const socket = connect(new URL(url).host);
        await socket.opened;
        await socket.close();
        return new Response("REACHED");
      }
      return way === "fetch()" ? await fetch(url) : await env.BINDING.fetch(url);
    } catch (error) { return new Response(String(error)); }
  } }`;
const module = { name: "worker.js", esModule: worker };
const config = {
  services: [
    {
      name: "main",
      worker: {
        modules: [module],
        compatibilityDate: "2026-11-01",
        bindings: [{ name: "BINDING", service: "binding" }],
        globalOutbound: "internet",
      },
    },
    { name: "internet", network: { ...fetchNetwork(task.fetchAllow, task.own) } },
    { name: "binding", network: { ...bindingNetwork(addressOptions, task.own) } },
  ],
  sockets: [{ name: "main", address: "127.0.0.1:0", http: {}, service: "main" }],
};
writeFileSync(
  join(folder, "config.capnp"),
  `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${capnpText(config)};\n`,
);
const { default: workerd } = createRequire(import.meta.url)("workerd") as { default: string };
const child = spawn(workerd, ["serve", join(folder, "config.capnp"), "--control-fd=3"], {
  stdio: ["ignore", "ignore", process.env["WAYS_OUT_LOG"] ? "inherit" : "ignore", "pipe"],
});
const [line] = (await once(createInterface(child.stdio[3] as Readable), "line")) as [string];
const { port: workerPort } = JSON.parse(line) as { port: number };
for (const way of ["fetch()", "connect()", "a binding in-process"]) {
  ways[way] = async (address) => {
    const body = JSON.stringify({ way, url: url(address) });
    const answer = await fetch(`http://127.0.0.1:${workerPort}/`, { method: "POST", body });
    const text = await answer.text();
    if (process.env["WAYS_OUT_LOG"]) console.error(way, address, text.slice(0, 80));
    return text === "REACHED";
  };
}

const reached = await Promise.all(
  Object.entries(ways).map(async ([way, attempt]) => {
    const got: string[] = [];
    for (const address of task.addresses) {
      if (await attempt(address).catch(() => false)) got.push(address);
    }
    return [way, got] as const;
  }),
);
child.kill("SIGKILL");
rmSync(folder, { recursive: true });
console.log(JSON.stringify(Object.fromEntries(reached)));
process.exit();

function url(address: string): string {
  return `http://${isIPv6(address) ? `[${address}]` : address}:${port}/`;
}
