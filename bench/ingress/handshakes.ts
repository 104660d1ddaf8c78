import { fileURLToPath } from "node:url";
import { cpuOf } from "../cpu.ts";
import { output, type ClientTls } from "../load/load.ts";
import { clientTls, type FrontOrder } from "./front.ts";

/** Full handshakes, one after the other on each of `connections`. */
export interface HandshakeSample {
  readonly perSecond: number;
  /** CPU µs of the front for one handshake. */
  readonly cpu: number;
}

export interface HandshakeOrder {
  readonly port: number;
  readonly tls: ClientTls;
  /** At once. */
  readonly connections: number;
  readonly seconds: number;
}

export async function measureHandshakes({
  front,
  way,
  connections,
  seconds,
  material,
  signal,
}: Omit<FrontOrder, "workerPid">): Promise<HandshakeSample> {
  const script = fileURLToPath(new URL("handshake-client.ts", import.meta.url));
  const tls = clientTls(material, way);
  if (tls === undefined) throw new Error(`there are no handshakes over ${way}`);
  const order: HandshakeOrder = { port: front.ports[way], tls, connections, seconds };
  const used = () => cpuOf([front.pid]).get(front.pid)!;
  let before = used();
  const args = [script, JSON.stringify(order)];
  const text = await output(process.execPath, args, signal, () => (before = used()));
  const cpu = used() - before;
  const [, count, microseconds] = /^RESULT (\d+) (\d+)$/m.exec(text) ?? [];
  if (count === undefined) throw new Error(`no result of handshakes with ${front.name}: ${text}`);
  return { perSecond: Number(count) / (Number(microseconds) / 1e6), cpu: cpu / Number(count) };
}
