import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { listenFailure } from "./listen-failure.ts";

async function codeOf(host: string, port: number): Promise<string | null> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(listenFailure("a test", { host, port }, error)));
      server.listen(port, host, resolve);
    });
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    server.close();
  }
}

test("a port that is taken, an address of another machine, and a name that is none differ", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  try {
    assert.equal(await codeOf("127.0.0.1", (taken.address() as AddressInfo).port), "port_in_use");
    assert.equal(await codeOf("192.0.2.1", 0), "address_not_here");
    assert.equal(await codeOf("999.1.1.1", 0), "address_unknown");
  } finally {
    taken.close();
  }
});

test("a port that this user may not take is said", () => {
  const denied = Object.assign(new Error("denied"), { code: "EACCES" });
  assert.equal(listenFailure("it", { host: "::", port: 80 }, denied).code, "port_not_permitted");
});
