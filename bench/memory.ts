import { mkdir } from "node:fs/promises";
import { startGateway } from "../src/gateway/start.ts";
import { residentMemory } from "./cpu.ts";
import { runClient } from "./load/load.ts";
import { ACCOUNT, accountTrust, edgeCertificate, GATEWAY_OPTIONS, MASTER_KEY } from "./product.ts";
import type { Surroundings } from "./subjects/subject.ts";

export interface MemoryUse {
  /** Resident bytes of the gateway process: just started, with all certificates, with some in use. */
  readonly empty: number;
  readonly stored: number;
  readonly inUse: number;
}

/** Stores certificates in a gateway of its own, and makes requests with some of them. */
export async function measureMemory(
  { lab, material, origin }: Surroundings,
  { stored, used }: { readonly stored: number; readonly used: number },
): Promise<MemoryUse> {
  const runDirectory = lab.path("memory");
  await mkdir(runDirectory);
  await using gateway = await startGateway({
    ...GATEWAY_OPTIONS,
    runDirectory,
    masterKey: MASTER_KEY,
  });
  await gateway.setTrust(ACCOUNT, accountTrust(material));
  const pid = gateway.status().pid!;
  const empty = residentMemory(pid);
  for (let i = 0; i < stored; i += 1) {
    lab.signal.throwIfAborted();
    // The subjects differ as those of a real store would; the origin trusts the CA, not a list.
    const certificate = await material.authority.issue({ subject: `CN=client ${i}` });
    await gateway.setCertificate(edgeCertificate(`certificate-${i}`, certificate));
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
    seconds: 2,
    sockets: names.map((name) => `${runDirectory}/${name}`),
  };
  await runClient(order, lab.signal);
  return { empty, stored: afterStoring, inUse: residentMemory(pid) };
}
