import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import type { startGateway as StartGateway } from "../src/gateway/start.ts";
import { residentMemory } from "./cpu.ts";
import { runClient } from "./load/load.ts";
import { ACCOUNT, accountTrust, edgeCertificate, GATEWAY_OPTIONS, MASTER_KEY } from "./product.ts";
import type { Surroundings } from "./subjects/subject.ts";

export interface MemoryUse {
  /** Resident bytes of the gateway process: just started, with all certificates, and with some in use. */
  readonly empty: number;
  readonly stored: number;
  readonly inUse: number;
}

/** Stores certificates in a separate gateway, and makes requests with some of them. */
export async function measureMemory(
  { lab, material, origin }: Surroundings,
  { stored, used }: { readonly stored: number; readonly used: number },
): Promise<MemoryUse> {
  const runDirectory = lab.path("memory");
  await mkdir(runDirectory);
  const startGateway = await shippedGateway();
  await using gateway = await startGateway({
    ...GATEWAY_OPTIONS,
    runDirectory,
    masterKey: MASTER_KEY,
  });
  await gateway.setTrust(ACCOUNT, accountTrust(material));
  const pid = gateway.status().pid!;
  const empty = residentMemory(pid);
  // Issuing takes longer than storing, so few certificates are issued. The gateway gets each copy under a separate id,
  // and copies share no memory in it.
  const issued = await Promise.all(
    Array.from({ length: 200 }, (_, i) => material.authority.issue({ subject: `CN=client ${i}` })),
  );
  for (let i = 0; i < stored; i += 1) {
    lab.signal.throwIfAborted();
    await gateway.setCertificate(edgeCertificate(`certificate-${i}`, issued[i % issued.length]!));
  }
  const afterStoring = residentMemory(pid);
  const names = Array.from({ length: used }, (_, i) => `${i}.sock`);
  for (const [i, socketPath] of names.entries()) {
    await gateway.openBinding({
      socketPath,
      accountId: ACCOUNT,
      scriptName: `script-${i}`,
      bindingName: "ORIGIN",
      certificateId: `certificate-${Math.floor((i * stored) / used)}`,
    });
  }
  const order = {
    base: "http://gateway",
    path: `https://localhost:${origin.port}/pooled/small`,
    connections: used,
    seconds: 5,
    sockets: names.map((name) => `${runDirectory}/${name}`),
  };
  await runClient(order, lab.signal);
  return { empty, stored: afterStoring, inUse: residentMemory(pid) };
}

/**
 * The gateway as it is published, if it was built: when run from TypeScript, Node's type stripper alone takes 30 MB.
 */
async function shippedGateway(): Promise<typeof StartGateway> {
  const built = new URL("../dist/gateway/start.js", import.meta.url);
  const url = existsSync(built) ? built : new URL("../src/gateway/start.ts", import.meta.url);
  const module = (await import(url.href)) as { startGateway: typeof StartGateway };
  return module.startGateway;
}
