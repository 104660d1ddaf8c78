import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../../test/helpers/platform.ts";
import { makeRequest } from "../../src/identity/authority.ts";
import { median } from "../measure.ts";
import type { FollowingOrder } from "./following-server.ts";

export interface RevocationTime {
  readonly connections: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const CERTIFICATES = 100;
/** Connections with each certificate. */
const CONNECTIONS = 10;
/** ms between two requests on one connection: the precision with which a refusal is noticed. */
const EVERY = 5;

/**
 * The time from the call that revokes to the first refusal, on each of the certificate's ten open connections. A whole
 * platform runs, and an origin that follows it with 1,000 open connections.
 */
export async function revocationTime(): Promise<RevocationTime> {
  await using platform = await startPlatform({
    args: ["--dev", "--trust-domain", "example.org"],
  });
  const authority = await makeAuthority("Origins");
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  await call(platform, "PUT", "/policies/orders", {
    allow: [{ spiffeId: "spiffe://example.org/account/*/client/*" }],
  });
  const { api, accountId } = platform.ready;
  const bundle = await fetch(`${api}/accounts/${accountId}/countersign/identity/bundle.pem`);
  const child = fork(new URL("following-server.ts", import.meta.url));
  try {
    child.send({
      cert: server.chain,
      key: server.key,
      api,
      account: accountId,
      authorities: await bundle.text(),
    } satisfies FollowingOrder);
    const [port] = (await once(child, "message")) as [number];
    const callers: { readonly serial: string; readonly sockets: readonly TLSSocket[] }[] = [];
    for (let n = 0; n < CERTIFICATES; n += 1) {
      const { csr, key } = await makeRequest(`caller-${n}`, "");
      const { certificate, serial_number: serial } = (await call(
        platform,
        "POST",
        "/identity/certificates",
        { csr, validity_days: 1 },
      )) as { readonly certificate: string; readonly serial_number: string };
      const pair = { ca: authority.pem, cert: certificate, key };
      const sockets = Array.from({ length: CONNECTIONS }, () =>
        connect({ host: "127.0.0.1", servername: "localhost", port, ...pair }),
      );
      await Promise.all(sockets.map((socket) => once(socket, "secureConnect")));
      callers.push({ serial, sockets });
    }
    const all = callers.flatMap(({ sockets }) => sockets);
    const before = await Promise.all(all.map(ask));
    if (before.some((status) => status !== 200)) throw new Error("a caller was not let in");
    const times: number[] = [];
    for (const { serial, sockets } of callers) {
      const begun = performance.now();
      const refused = Promise.all(sockets.map((socket) => untilRefused(socket)));
      await call(platform, "POST", `/identity/certificates/${serial}/revoke`, {});
      times.push(...(await refused).map((at) => at - begun));
    }
    const sorted = times.toSorted((one, other) => one - other);
    return {
      connections: all.length,
      p50Ms: median(sorted),
      p99Ms: sorted[Math.ceil(sorted.length * 0.99) - 1]!,
    };
  } finally {
    child.disconnect();
    await once(child, "exit");
  }
}

async function untilRefused(socket: TLSSocket): Promise<number> {
  while ((await ask(socket)) === 200) await delay(EVERY);
  const at = performance.now();
  socket.destroy();
  return at;
}

function ask(socket: TLSSocket): Promise<number> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("the connection ended without an answer"));
    socket.once("close", ended);
    socket.once("data", (chunk: Buffer) => {
      socket.off("close", ended);
      resolve(Number(chunk.toString("latin1", 9, 12)));
    });
    socket.write("GET /orders HTTP/1.1\r\nHost: localhost\r\n\r\n");
  });
}

async function call(
  platform: TestPlatform,
  method: string,
  path: string,
  body: unknown,
): Promise<unknown> {
  const { status, json } = await platform.api(
    method,
    `/accounts/{account}/countersign${path}`,
    body,
  );
  if (status !== 200)
    throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json.errors)}`);
  return json.result;
}
