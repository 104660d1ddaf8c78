import assert from "node:assert/strict";
import { test } from "node:test";
import type { ZoneRules } from "../contract/hosts.ts";
import { permitsVersion, zoneHeaders, Zones } from "./zones.ts";

function rules(zone: string, more: Partial<ZoneRules> = {}): ZoneRules {
  return {
    zone,
    minTls: "TLSv1.2",
    maxTls: "TLSv1.3",
    alwaysUseHttps: false,
    strictTransport: null,
    noSniff: false,
    ...more,
  };
}

test("the nearest zone that a host is in counts, and a name that only ends alike is in none", () => {
  const zones = new Zones();
  assert.equal(zones.find("example.com"), null);
  zones.update("a", [rules("example.com"), rules("in.example.com")]);
  zones.update("b", [rules("b.test")]);
  const zoneOf = (host: string): string | undefined => zones.find(host)?.zone;
  assert.equal(zoneOf("example.com"), "example.com");
  assert.equal(zoneOf("a.b.example.com"), "example.com");
  assert.equal(zoneOf("in.example.com"), "in.example.com");
  assert.equal(zoneOf("a.in.example.com"), "in.example.com");
  assert.equal(zoneOf("b.test"), "b.test");
  for (const host of ["notexample.com", "com", "", ".", "example.com.evil", "[::1]"]) {
    assert.equal(zoneOf(host), undefined, host);
  }
  zones.update("a", []);
  assert.equal(zoneOf("example.com"), undefined);
  assert.equal(zoneOf("b.test"), "b.test");
});

test("connections are looked at while any zone takes one version alone", () => {
  const zones = new Zones();
  zones.update("a", [rules("example.com")]);
  assert.equal(zones.narrowTls, false);
  zones.update("b", [rules("b.test", { minTls: "TLSv1.3" })]);
  assert.equal(zones.narrowTls, true);
  zones.update("b", []);
  assert.equal(zones.narrowTls, false);
});

test("what was agreed on has to be what the zone takes", () => {
  const only13 = rules("example.com", { minTls: "TLSv1.3" });
  const only12 = rules("example.com", { maxTls: "TLSv1.2" });
  assert.equal(permitsVersion(only13, "TLSv1.3"), true);
  assert.equal(permitsVersion(only13, "TLSv1.2"), false);
  assert.equal(permitsVersion(only12, "TLSv1.2"), true);
  assert.equal(permitsVersion(only12, "TLSv1.3"), false);
  assert.equal(permitsVersion(only12, null), false);
  assert.equal(permitsVersion(rules("example.com"), "TLSv1.2"), true);
});

test("over plain HTTP nothing is said of HTTPS", () => {
  const zone = rules("example.com", { strictTransport: "max-age=1", noSniff: true });
  const noSniff = ["x-content-type-options", "nosniff"];
  assert.deepEqual(zoneHeaders(zone, true), [["strict-transport-security", "max-age=1"], noSniff]);
  assert.deepEqual(zoneHeaders(zone, false), [noSniff]);
  assert.deepEqual(zoneHeaders(rules("example.com"), true), []);
  assert.deepEqual(zoneHeaders(null, true), []);
});
