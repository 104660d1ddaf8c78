import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent, request } from "undici";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform } from "../test/helpers/platform.ts";
import { cpuOf } from "./cpu.ts";
import { findLoad } from "./load/load.ts";

/** Calls at a time. */
const CALLERS = 16;
/** Rows of a page, as Cloudflare's SDKs ask for. */
const PAGE = 20;

export interface Rate {
  readonly perSecond: number;
  /** CPU ms of the whole platform for one. Null: not measured. */
  readonly cpuMs: number | null;
}

export interface StoreRates {
  readonly uploads: Rate;
  readonly pages: Rate;
  /** A server in Node that answers with the bytes of such a page, and does nothing else. */
  readonly barePages: Rate;
}

interface RatesOrder {
  readonly uploads: number;
  /** For which pages are asked for. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** Uploads of certificates and pages of a list a second, of `countersign start` as it is published, by 16 at a time. */
export async function storeRates({ uploads, seconds, signal }: RatesOrder): Promise<StoreRates> {
  const authority = await makeAuthority();
  const bodies = await Promise.all(
    Array.from({ length: uploads }, async (_, number) => {
      const { chain, key } = await authority.issue({ subject: `CN=bench ${number}` });
      return JSON.stringify({ certificates: chain, private_key: key, ca: false });
    }),
  );
  await using platform = await startPlatform();
  const { api, accountId, token } = platform.ready;
  const url = `${api}/accounts/${accountId}/mtls_certificates`;
  const headers = { authorization: `Bearer ${token}` };
  const cpu = (): number => cpuOf([platform.process.pid!]).get(platform.process.pid!)! / 1_000;
  const uploading = cpu();
  const perSecond = await uploadAll(url, headers, bodies);
  const uploaded = { perSecond, cpuMs: (cpu() - uploading) / uploads };

  const load = findLoad();
  const order = { connections: CALLERS, seconds };
  const page = `${url}?per_page=${PAGE}&page=2`;
  const paging = cpu();
  const { requests, rps } = await load.run({ url: page, headers, ...order }, signal);
  const pages = { perSecond: rps, cpuMs: (cpu() - paging) / requests };
  const body = await (await fetch(page, { headers })).text();
  const bare = await answering(body, async (to) => load.run({ url: to, ...order }, signal));
  return { uploads: uploaded, pages, barePages: { perSecond: bare.rps, cpuMs: null } };
}

/** Uploads a second. */
async function uploadAll(
  url: string,
  headers: Readonly<Record<string, string>>,
  bodies: readonly string[],
): Promise<number> {
  await using cleanup = new AsyncDisposableStack();
  const dispatcher = cleanup.adopt(new Agent({ connections: CALLERS }), (it) => it.destroy());
  const began = performance.now();
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < bodies.length) {
      const body = bodies[next++]!;
      const answer = await request(url, { method: "POST", headers, body, dispatcher });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`an upload was answered with ${text}`);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return (bodies.length * 1_000) / (performance.now() - began);
}

async function answering<T>(body: string, measure: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await measure(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}
