import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { test } from "node:test";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { Clients } from "./clients.ts";
import type { HostEntry } from "./tls/hosts.ts";

test("the chains of 1,000 clients are kept for sessions that are resumed, and then the oldest goes", async () => {
  const authority = await makeAuthority();
  const { chain } = await authority.issue({ subject: "CN=client" });
  const leaf = new X509Certificate(chain);
  const clients = { mode: "optional", authorities: [authority.pem], revoked: [], forward: true };
  const entry = { clients, access: [] } as unknown as HostEntry;
  const judged = new Clients();
  let read = 0;
  const come = (client: number, isResumed: boolean): void => {
    // A certificate of each: only the fingerprint tells them apart here.
    const own = new Proxy(leaf, {
      get: (target, name) => {
        if (name === "fingerprint256") return `fingerprint ${client}`;
        if (name === "issuerCertificate") read += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const socket = {
      getPeerX509Certificate: () => own,
      isSessionReused: () => isResumed,
      authorized: true,
    } as unknown as TLSSocket;
    judged.began(socket, entry);
    judged.judge(socket, entry);
  };
  const readsFor = (client: number): number => {
    read = 0;
    come(client, true);
    return read;
  };
  for (let client = 0; client < 1_000; client += 1) come(client, false);
  assert.equal(readsFor(0), 0, "its chain is kept");
  come(1_000, false);
  assert.ok(readsFor(0) > 0, "it was the oldest");
  assert.equal(readsFor(1), 0);
  assert.equal(readsFor(1_000), 0);
});
