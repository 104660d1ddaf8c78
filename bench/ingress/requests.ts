import { cpuOf, machineCpu, ourCpu } from "../cpu.ts";
import { runClient } from "../load/load.ts";
import type { Sample } from "../measure.ts";
import { clientTls, type FrontOrder, HOST } from "./front.ts";

/** Requests over connections that are already open; handshakes are measured separately. */
export async function measureRequests(order: FrontOrder): Promise<Sample> {
  const { front, way, connections, seconds, workerPid, material, signal } = order;
  const pids = [front.pid, workerPid];
  const look = () => ({ cpu: cpuOf(pids), machine: machineCpu(), ours: ourCpu() });
  let before = look();
  const tls = clientTls(material, way);
  const { requests, rps, p50Ms, p99Ms } = await runClient(
    {
      base: `${tls === undefined ? "http" : "https"}://127.0.0.1:${front.ports[way]}`,
      path: "/",
      host: `${HOST}:${front.ports[way]}`,
      connections,
      seconds,
      ...(tls && { tls }),
    },
    signal,
    () => (before = look()),
  );
  const after = look();
  const used = (pid: number) => (after.cpu.get(pid)! - before.cpu.get(pid)!) / requests;
  const others = after.machine.busy - before.machine.busy - (after.ours - before.ours);
  return {
    rps,
    p50Ms,
    p99Ms,
    cpu: { proxy: used(front.pid), workerd: used(workerPid) },
    disturbance: Math.max(0, others) / (after.machine.all - before.machine.all),
  };
}
