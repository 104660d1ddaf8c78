import { findProgram } from "./lab.ts";
import { output, runClient } from "./load/load.ts";
import { median } from "./measure.ts";
import { round, type Row } from "./rows.ts";
import { NotInstalled, type RunningSubject, type Surroundings } from "./subjects/subject.ts";

export interface HandshakeOrder {
  /** Its `socket` is asked, without a Worker. */
  readonly gateway: RunningSubject;
  readonly rounds: number;
  readonly seconds: number;
}

/**
 * Full handshakes with a client certificate, one for each request: what the gateway makes of the
 * machine beside what OpenSSL's own measure does, in turns, each with 1 and with 16 at a time.
 * @throws NotInstalled
 */
export async function measureHandshakes(
  { lab, material, origin }: Surroundings,
  { gateway, rounds, seconds }: HandshakeOrder,
): Promise<Row[]> {
  const openssl = findProgram("openssl");
  if (openssl === null) throw new NotInstalled("openssl is not installed");
  const { authority, clientChain, clientKey } = material.files;
  const speed = async (): Promise<number> => {
    const where = ["-connect", `localhost:${origin.port}`, "-www", "/each/small"];
    const identity = ["-cert", clientChain, "-key", clientKey, "-CAfile", authority];
    const args = ["s_time", "-new", "-time", String(seconds), "-verify", "3"];
    const text = await output(openssl, [...args, ...where, ...identity], lab.signal);
    const found = /^(\d+) connections in (\d+) real seconds/m.exec(text);
    if (found === null) throw new Error(`s_time said: ${text}`);
    return Number(found[1]) / seconds;
  };
  const path = `https://localhost:${origin.port}/each/small`;
  const rows: Row[] = [];
  for (const connections of [1, 16]) {
    const reference: number[] = [];
    const ours: Awaited<ReturnType<typeof runClient>>[] = [];
    for (let turn = 0; turn < rounds; turn += 1) {
      const all = await Promise.all(Array.from({ length: connections }, speed));
      reference.push(all.reduce((sum, one) => sum + one, 0));
      const sockets = [gateway.socket!];
      const order = { base: "http://gateway", path, connections, seconds, sockets };
      ours.push(await runClient(order, lab.signal));
    }
    const what = { connections, body: "small, a handshake each" };
    rows.push({
      subject: "openssl s_time",
      ...what,
      rps: round(median(reference)),
      p50_ms: null,
      p99_ms: null,
      cpu_us: null,
    });
    rows.push({
      subject: "gateway alone",
      ...what,
      rps: round(median(ours.map(({ rps }) => rps))),
      p50_ms: round(median(ours.map(({ p50Ms }) => p50Ms))),
      p99_ms: round(median(ours.map(({ p99Ms }) => p99Ms))),
      cpu_us: null,
    });
  }
  return rows;
}
