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

test("each of the system's words has its code, and what is none is an address of elsewhere", () => {
  for (const [word, code] of [
    ["EACCES", "port_not_permitted"],
    ["EPERM", "port_not_permitted"],
    ["EADDRINUSE", "port_in_use"],
    ["EADDRNOTAVAIL", "address_not_here"],
    ["EAFNOSUPPORT", "address_not_here"],
    ["EINVAL", "address_not_here"],
    ["ENOTFOUND", "address_unknown"],
    ["EAI_AGAIN", "address_unknown"],
    ["EAI_NONAME", "address_unknown"],
    ["ESOMETHING", "address_not_here"],
  ] as const) {
    const cause = Object.assign(new Error("why"), { code: word });
    const failure = listenFailure("the API", { host: "::", port: 80 }, cause);
    assert.equal(failure.code, code, word);
    assert.equal(failure.message, `the API cannot listen on :: port 80: ${word}`);
    assert.deepEqual([failure.cause, failure.facts], [cause, { host: "::", port: 80 }]);
  }
  const unnamed = listenFailure("it", { host: "::", port: 80 }, new Error("why"));
  assert.equal(unnamed.code, "address_not_here");
  assert.match(unnamed.message, /: why$/);
});
