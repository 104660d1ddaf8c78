import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import type { GatewayBinding } from "../contract/gateway.ts";
import { frontName, frontUrl, loopIn } from "./front.ts";

const binding = {
  accountId: "a",
  bindingName: "B",
  front: { hosts: ["192.0.2.1"], port: 443 },
} as Partial<GatewayBinding> as GatewayBinding;

function request(headers: IncomingMessage["headers"], url?: string): IncomingMessage {
  return { headers, url } as IncomingMessage;
}

test("a request goes to the host that it names, at the origin's port", () => {
  const named = request({ host: "A.Example:8080" }, "/path?query");
  assert.deepEqual(frontUrl(named, 443), { origin: "https://a.example", path: "/path?query" });
  assert.equal(frontUrl(named, 8443).origin, "https://a.example:8443");
  assert.equal(
    frontUrl(request({ host: "[2001:db8::1]:443" }), 443).origin,
    "https://[2001:db8::1]",
  );
  assert.deepEqual(frontUrl(request({}), 443), { origin: "https://", path: "/" });
});

test("a request that was at this host and origin before is a loop, wherever else it was", () => {
  const name = frontName(binding);
  assert.match(name, /^countersign-[0-9a-f]{16}$/);
  for (const passed of [name, `cdn.example, ${name}`, `${name};a=1, cdn.example`, ` ${name} ;a`]) {
    assert.equal(loopIn(binding, request({ "cdn-loop": passed })), "host_origin_loop", passed);
  }
  for (const passed of ["", "cdn.example", `${name}0`, `x;${name}`]) {
    assert.equal(loopIn(binding, request({ "cdn-loop": passed })), null, passed);
  }
  assert.equal(loopIn(binding, request({})), null);
});

test("each host and origin has its own name, which is never that of a Worker's binding", () => {
  const { front: _, ...worker } = binding;
  assert.equal(loopIn(worker, request({ "cdn-loop": frontName(worker) })), null);
  const others = [
    binding,
    { ...binding, accountId: "b" },
    { ...binding, bindingName: "C" },
    { ...binding, front: { ...binding.front!, hosts: ["192.0.2.2"] } },
    { ...binding, front: { ...binding.front!, port: 8443 } },
  ];
  assert.equal(new Set(others.map(frontName)).size, others.length);
  assert.equal(frontName({ ...binding }), frontName(binding));
});
