import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Server } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { ConnectionShares } from "./connection-shares.ts";

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string;
  destroyed = false;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.emit("close");
    return this;
  }
}

function limited(most: number, excepted: readonly string[] = []) {
  const served: FakeSocket[] = [];
  const full: string[] = [];
  const shares = new ConnectionShares({
    most,
    isExcepted: (address) => excepted.includes(address),
    onFull: (address) => full.push(address),
  });
  const servers = [new EventEmitter(), new EventEmitter()].map((server) => {
    server.on("connection", (socket: FakeSocket) => served.push(socket));
    shares.limit(server as Server);
    return server;
  });
  const come = (address: string, at = 0): FakeSocket => {
    const socket = new FakeSocket(address);
    servers[at]!.emit("connection", socket);
    return socket;
  };
  return { come, served, full, shares };
}

test("what an address opens above its share is closed, on all listeners together, and nobody else's", () => {
  const { come, served, full } = limited(3);
  const mine = [come("192.0.2.1", 0), come("192.0.2.1", 1), come("::ffff:192.0.2.1", 0)];
  assert.equal(come("192.0.2.1", 1).destroyed, true);
  assert.equal(come("192.0.2.2").destroyed, false);
  assert.equal(served.length, 4);
  assert.deepEqual(full, ["192.0.2.1"]);
  mine[1]!.destroy();
  assert.equal(come("192.0.2.1").destroyed, false, "one has closed");
});

test("the 2^64 addresses of an IPv6 network share one limit", () => {
  const { come } = limited(1);
  come("2001:db8::1");
  assert.equal(come("2001:db8::2").destroyed, true);
  assert.equal(come("2001:db8:0:1::1").destroyed, false);
});

test("a trusted proxy has no share, and with 0 nobody has", () => {
  const { come } = limited(1, ["10.0.0.1"]);
  come("10.0.0.1");
  assert.equal(come("10.0.0.1").destroyed, false);
  const unlimited = limited(0);
  unlimited.come("192.0.2.1");
  assert.equal(unlimited.come("192.0.2.1").destroyed, false);
});

test("however they come and go, nobody has more than the share, and nothing is counted for ever", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ comes: fc.boolean(), who: fc.nat({ max: 3 }), at: fc.nat(9) })),
      fc.integer({ min: 1, max: 3 }),
      (steps, most) => {
        const { come, shares } = limited(most);
        const open: FakeSocket[] = [];
        for (const { comes, who, at } of steps) {
          if (comes) open.push(come(`192.0.2.${who}`, at % 2));
          else open[at % Math.max(open.length, 1)]?.destroy();
          for (let one = 0; one <= 3; one += 1) {
            const mine = open.filter(
              (socket) => !socket.destroyed && socket.remoteAddress === `192.0.2.${one}`,
            );
            assert.ok(mine.length <= most);
          }
        }
        for (const socket of open) socket.destroy();
        assert.equal(shares.addresses, 0);
      },
    ),
  );
});
