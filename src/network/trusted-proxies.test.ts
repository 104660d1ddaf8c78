import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { noProxies, TrustedProxies, wasForwarded } from "./trusted-proxies.ts";

const trusted = ["10.0.0.0/8", "::1"];
const proxies = new TrustedProxies({ trusted, header: "x-forwarded" });
const seen = (peer: string, forwardedFor: string, proto?: string) =>
  proxies.client(peer, {
    "x-forwarded-for": forwardedFor,
    ...(proto !== undefined && { "x-forwarded-proto": proto }),
  });

test("the client is the rightmost address that is no trusted proxy's", () => {
  for (const [peer, header, address] of [
    ["10.0.0.1", "203.0.113.9", "203.0.113.9"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.9, 10.9.9.9", "203.0.113.9"],
    ["10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"],
    ["::ffff:10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"],
    ["::1", "203.0.113.9:80", "203.0.113.9"],
    ["10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"],
    ["10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.9, 10.3.3.3, _hidden", "10.0.0.1"],
    ["10.0.0.1", "", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.9,", "10.0.0.1"],
    // What only looks like an address somewhere in it is none.
    ["10.0.0.1", "203.0.113.8, x203.0.113.9:80", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.8, 203.0.113.9:80x", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.8, 203.0.113.9:123456", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.8, [2001:db8::7]", "2001:db8::7"],
  ] as const) {
    assert.equal(seen(peer, header).address, address, `${peer} <- ${header}`);
  }
});

test("nobody else's word counts, nor does a scheme that is none", () => {
  assert.deepEqual(seen("203.0.113.9", "127.0.0.1", "https"), {
    address: "203.0.113.9",
    scheme: null,
  });
  assert.equal(seen("10.0.0.1", "203.0.113.9", "https").scheme, "https");
  assert.equal(seen("10.0.0.1", "203.0.113.9", "https, http").scheme, "http");
  assert.equal(seen("10.0.0.1", "203.0.113.9", "gopher").scheme, null);
  assert.equal(new TrustedProxies({ trusted: [], header: "x-forwarded" }).trusts("::1"), false);
});

test("Forwarded is read where it is the header, and X-Forwarded-For is not", () => {
  const rfc = new TrustedProxies({ trusted, header: "forwarded" });
  const headers = {
    forwarded: 'for=6.6.6.6;proto=http, for="[2001:db8::7]:4711";proto=https',
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "http",
  };
  assert.deepEqual(rfc.client("10.0.0.1", headers), { address: "2001:db8::7", scheme: "https" });
  assert.equal(proxies.client("10.0.0.1", headers).address, "127.0.0.1");
  const itself = { address: "10.0.0.1", scheme: null };
  assert.deepEqual(rfc.client("10.0.0.1", { forwarded: 'for="' }), itself, "what no parser takes");
  assert.deepEqual(rfc.client("10.0.0.1", {}), itself);
  const silent = { forwarded: "for=6.6.6.6;proto=http, by=10.0.0.1" };
  assert.deepEqual(rfc.client("10.0.0.1", silent), itself, "its proxy does not say");
});

test("without a connection nobody is known, without proxies nobody's word counts", () => {
  assert.deepEqual(proxies.client(undefined, { "x-forwarded-for": "203.0.113.9" }), {
    address: null,
    scheme: null,
  });
  assert.deepEqual(proxies.client("10.0.0.1", {}), { address: "10.0.0.1", scheme: null });
  const nobody = new TrustedProxies(noProxies);
  const headers = { "x-forwarded-for": "203.0.113.9" };
  assert.equal(nobody.client("127.0.0.1", headers).address, "127.0.0.1");
});

function hops(count: number): string {
  return ["203.0.113.9", ...Array<string>(count).fill("10.0.0.2")].join(",");
}

test("of a chain of proxies the 32 nearest are looked at", () => {
  assert.equal(seen("10.0.0.1", hops(31)).address, "203.0.113.9");
  assert.equal(seen("10.0.0.1", hops(32)).address, "10.0.0.2");
});

test("what a client writes to the left of a proxy's own entry changes nothing", () => {
  fc.assert(
    fc.property(fc.string(), fc.ipV4(), (left, client) => {
      fc.pre(!proxies.trusts(client));
      assert.equal(seen("10.0.0.1", `${left},${client}`).address, client);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (forwarded) => {
      new TrustedProxies({ trusted, header: "forwarded" }).client("10.0.0.1", { forwarded });
      seen("10.0.0.1", forwarded, forwarded);
    }),
  );
});

test("a request that was handed on says so in one of many headers", () => {
  assert.equal(wasForwarded({ host: "a.localhost", accept: "*/*" }), false);
  // As proxies and CDNs write them: each alone is enough.
  for (const name of [
    ..."forwarded via x-real-ip x-client-ip x-cluster-client-ip true-client-ip".split(" "),
    ..."cf-connecting-ip x-original-forwarded-for x-original-host".split(" "),
    ..."x-envoy-external-address".split(" "),
    ...["for", "host", "proto", "port", "server"].map((what) => `x-forwarded-${what}`),
  ]) {
    assert.equal(wasForwarded({ [name]: "" }), true, name);
  }
});
