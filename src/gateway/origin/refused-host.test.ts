import assert from "node:assert/strict";
import { test } from "node:test";
import { refuseHost } from "./refused-host.ts";

const any = { certificateId: "c", allowedHosts: null };

test("a certificate that is for any host is refused in a proxied zone alone", () => {
  refuseHost(any, [], "a.example");
  refuseHost(any, ["b.example", "*.b.example"], "a.example");
  for (const host of ["b.example", "www.b.example"]) {
    assert.throws(() => refuseHost(any, ["b.example", "*.b.example"], host), {
      code: "origin_zone_proxied",
      message: `"${host}" is in a proxied zone, and client certificates are not presented there`,
      facts: { host, certificateId: "c" },
    });
  }
});

test("a certificate for some hosts is presented to these, and not where their zone is proxied", () => {
  const allowedHosts = ["a.example", "*.b.example"];
  const tied = { certificateId: "c", allowedHosts };
  refuseHost(tied, [], "a.example");
  refuseHost(tied, [], "www.b.example");
  assert.throws(() => refuseHost(tied, [], "b.example"), {
    code: "origin_host_not_allowed",
    message: 'certificate c may be presented to a.example, *.b.example, and not to "b.example"',
    facts: { host: "b.example", certificateId: "c", allowedHosts },
  });
  assert.throws(() => refuseHost(tied, ["a.example"], "a.example"), {
    code: "origin_zone_proxied",
  });
});

test("a certificate for no host is presented to none", () => {
  assert.throws(() => refuseHost({ certificateId: "c", allowedHosts: [] }, [], "a.example"), {
    code: "origin_host_not_allowed",
    message: 'certificate c may be presented to no host, and not to "a.example"',
  });
});
