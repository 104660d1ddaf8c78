import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { memoryOfTree } from "../cpu.ts";
import type { ClientTls } from "../load/load.ts";
import { clientTls, type Front, type IngressMaterial } from "./front.ts";

export interface IdleOrder {
  readonly port: number;
  readonly tls: ClientTls;
  /** Connections to open and keep. */
  readonly connections: number;
}

export interface IdleSample {
  readonly connections: number;
  /** Resident bytes of the front's processes for each connection. Null: some were closed meanwhile. */
  readonly bytesEach: number | null;
}

/** Opens TLS connections that carry no request, measures the front's memory, and closes them. */
export async function measureIdle(
  front: Front,
  material: IngressMaterial,
  { connections, signal }: { readonly connections: number; readonly signal: AbortSignal },
): Promise<IdleSample> {
  const tls = clientTls(material, "HTTPS")!;
  const before = memoryOfTree(front.pid);
  const clients: ChildProcess[] = [];
  try {
    const opened: Promise<void>[] = [];
    for (let left = connections; left > 0; left -= EACH) {
      const order = { port: front.ports["HTTPS"], tls, connections: Math.min(left, EACH) };
      const client = startClient(order, signal);
      clients.push(client);
      opened.push(openedAll(client));
    }
    await Promise.all(opened);
    // Time for collecting the garbage of the handshakes.
    await delay(3_000, null, { signal });
    const bytesEach = (memoryOfTree(front.pid) - before) / connections;
    for (const client of clients) client.stdin!.end("go\n");
    const kept = await Promise.all(clients.map(hasAllOpen));
    return { connections, bytesEach: kept.every(Boolean) ? bytesEach : null };
  } finally {
    for (const client of clients) client.kill();
  }
}

/** As many connections as the limit of open files allows one process, beside the files that it has open anyway. */
export function mostConnections(wanted: number): number {
  const [, hard = "0"] =
    /^Max open files\s+\S+\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8")) ??
    [];
  return hard === "unlimited" ? wanted : Math.min(wanted, Number(hard) - 1_000);
}

/** Connections of one client process. */
const EACH = 2_500;

function startClient(order: IdleOrder, signal: AbortSignal): ChildProcess {
  const script = fileURLToPath(new URL("idle-client.ts", import.meta.url));
  const client = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ["pipe", "pipe", "inherit"],
    signal,
  });
  client.on("error", () => {});
  return client;
}

async function openedAll(client: ChildProcess): Promise<void> {
  for await (const line of createInterface({ input: client.stdout! })) {
    if (line === "READY") return;
  }
  throw new Error("a client could not open its connections");
}

async function hasAllOpen(client: ChildProcess): Promise<boolean> {
  const [status] = (await once(client, "exit")) as [number | null];
  return status === 0;
}
