import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostOrigin } from "../contract/hosts.ts";
import type { ScriptUpdate } from "../ingress/protocol.ts";
import { Origins } from "./origins.ts";

const HOST = "api.example.com";

/** A gateway and an ingress that remember what they were told. */
class Told {
  readonly open = new Set<string>();
  readonly routed = new Map<string, string>();
  readonly retiring: (() => void)[] = [];
  certificateId: string | null = null;
  failure: Error | null = null;
  /** What happens while the ingress is told. */
  meanwhile: () => Promise<void> = () => Promise.resolve();
  readonly origins: Origins = new Origins({
    source: { origins: () => Promise.resolve(this.#origins()) },
    gateway: {
      openBinding: ({ socketPath }) => Promise.resolve(void this.open.add(socketPath)),
      closeBinding: (path) => Promise.resolve(void this.open.delete(path)),
    },
    ingress: {
      scripts: (updates) => this.#route(updates),
      retire: () => new Promise<number>((resolve) => this.retiring.push(() => resolve(0))),
    },
    run: { offered: null },
    port: 443,
    log: { error: (context: object) => assert.fail(JSON.stringify(context)) } as never,
  });

  present(certificateId: string | null): Promise<void> {
    this.certificateId = certificateId;
    return this.origins.apply("account", () => Promise.resolve());
  }

  /** What drained has drained. */
  async drained(): Promise<void> {
    for (const retired of this.retiring.splice(0)) retired();
    await new Promise(setImmediate);
  }

  #origins(): HostOrigin[] {
    if (this.certificateId === null) return [];
    const to = { hosts: ["192.0.2.1"], port: 8443 };
    return [{ host: HOST, certificateId: this.certificateId, to }];
  }

  async #route(updates: readonly ScriptUpdate[]): Promise<void> {
    if (this.failure !== null) throw this.failure;
    await this.meanwhile();
    for (const { scriptName, entry } of updates) {
      if (entry === null) this.routed.delete(scriptName);
      else this.routed.set(scriptName, entry.targets[0]!.sockets[0]!);
    }
  }
}

test("an origin that comes back when its former socket has drained keeps the socket that it has now", async () => {
  const told = new Told();
  for (const certificate of ["first", "second"]) await told.present(certificate);
  told.meanwhile = () => told.drained();
  await told.present("first");
  await told.drained();
  assert.deepEqual([...told.routed.values()], [...told.open]);
  assert.ok(told.origins.presents("account", "first"));
  assert.ok(!told.origins.presents("account", "second"));
});

test("an origin that did not change keeps its socket, one that is gone gives it back", async () => {
  const told = new Told();
  await told.present("first");
  const open = [...told.open];
  await told.present("first");
  assert.deepEqual([...told.open], open);
  await told.present(null);
  assert.equal(told.routed.size, 0);
  assert.deepEqual([...told.open], open, "what is in flight ends where it began");
  await told.drained();
  assert.equal(told.open.size, 0);
});

test("what failed is done by the next attempt, and what it had replaced is closed then", async () => {
  const told = new Told();
  await told.present("first");
  told.failure = new Error("the ingress is starting");
  await assert.rejects(told.present("second"), told.failure);
  assert.equal(told.retiring.length, 0);
  assert.ok(told.open.has([...told.routed.values()][0]!));
  told.failure = null;
  await told.present("second");
  await told.drained();
  assert.deepEqual([...told.routed.values()], [...told.open]);
  assert.equal(told.open.size, 1);
});
