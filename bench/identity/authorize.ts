import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { median } from "../measure.ts";
import type { ServerOrder } from "./bare-server.ts";

/** How much `authorize` costs a bare server of node:https; medians over the rounds. */
export interface AuthorizeCost {
  readonly bareRps: number;
  readonly guardedRps: number;
  /** Per cent of the bare server's throughput, from pairs of neighbouring rounds. */
  readonly takenPercent: number;
  readonly bareCpuUs: number;
  readonly guardedCpuUs: number;
}

const CONNECTIONS = 16;
/**
 * Requests on each connection in one round. Rounds are short, so that a disturbance of the machine affects both
 * servers.
 */
const EACH = 250;
/** Rounds before those that are measured. */
const WARM_UP = 80;

export async function authorizeCost(rounds: number): Promise<AuthorizeCost> {
  const [servers, callers] = await Promise.all([makeAuthority("Servers"), makeAuthority("Acme")]);
  const server = await servers.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const caller = await callers.issue({
    subject: "CN=a,O=acme",
    uris: ["spiffe://example.org/account/acme/worker/a"],
  });
  const child = fork(new URL("bare-server.ts", import.meta.url));
  try {
    const order: ServerOrder = { cert: server.chain, key: server.key, authority: callers.pem };
    const ports = (await ask(child, order)) as [number, number];
    const pair = { ca: servers.pem, cert: caller.chain, key: caller.key };
    const [bare, guarded] = await Promise.all(ports.map((port) => openAll(port, pair)));
    const measure = (sockets: TLSSocket[]): Promise<Round> => round(child, sockets);
    // Until V8 has fully optimised both, because a real server runs for days.
    for (let n = 0; n < WARM_UP; n += 1) await measure(n % 2 === 0 ? bare! : guarded!);
    const pairs: { bare: Round; guarded: Round }[] = [];
    for (let n = 0; n < rounds; n += 1) {
      // The second one collects the other's garbage, so they take turns.
      if (n % 2 === 0) pairs.push({ bare: await measure(bare!), guarded: await measure(guarded!) });
      else {
        const second = await measure(guarded!);
        pairs.push({ bare: await measure(bare!), guarded: second });
      }
    }
    for (const socket of [...bare!, ...guarded!]) socket.destroy();
    const of = (pick: (one: (typeof pairs)[number]) => number): number => median(pairs.map(pick));
    return {
      bareRps: of((one) => one.bare.rps),
      guardedRps: of((one) => one.guarded.rps),
      takenPercent: 100 * (1 - of((one) => one.guarded.rps / one.bare.rps)),
      bareCpuUs: of((one) => one.bare.cpuUs),
      guardedCpuUs: of((one) => one.guarded.cpuUs),
    };
  } finally {
    child.disconnect();
    await once(child, "exit");
  }
}

interface Round {
  readonly rps: number;
  readonly cpuUs: number;
}

async function round(child: ChildProcess, sockets: readonly TLSSocket[]): Promise<Round> {
  const cpu = (await ask(child, "cpu")) as number;
  const begun = performance.now();
  await Promise.all(sockets.map((socket) => requests(socket, EACH)));
  const seconds = (performance.now() - begun) / 1_000;
  const all = sockets.length * EACH;
  return { rps: all / seconds, cpuUs: (((await ask(child, "cpu")) as number) - cpu) / all };
}

async function ask(child: ChildProcess, message: ServerOrder | "cpu"): Promise<unknown> {
  const answer = once(child, "message");
  child.send(message);
  return ((await answer) as [unknown])[0];
}

async function openAll(
  port: number,
  pair: { ca: string; cert: string; key: string },
): Promise<TLSSocket[]> {
  const sockets = Array.from({ length: CONNECTIONS }, () =>
    connect({ host: "127.0.0.1", servername: "localhost", port, ...pair }),
  );
  await Promise.all(sockets.map((socket) => once(socket, "secureConnect")));
  return sockets;
}

const REQUEST = "GET /orders/17?full=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";

/** The smallest possible client, because its own CPU is not to be measured. */
function requests(socket: TLSSocket, many: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = many;
    const onData = (chunk: Buffer): void => {
      if (chunk.toString("latin1", 0, 12) !== "HTTP/1.1 200") return fail(chunk);
      left -= 1;
      if (left > 0) return void socket.write(REQUEST);
      socket.off("data", onData).off("close", fail);
      resolve();
    };
    const fail = (said?: unknown): void =>
      reject(
        new Error(`not answered with 200: ${Buffer.isBuffer(said) ? said.toString() : "closed"}`),
      );
    socket.on("data", onData).on("close", fail);
    socket.write(REQUEST);
  });
}
