import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Failure } from "../../failures/failures.ts";
import { readZoneFile, writeZoneFile } from "./zone-file.ts";

const read = (text: string) =>
  readZoneFile(text, "example.com").map(({ name, type, content, ttl }) => [
    name,
    type,
    content,
    ttl,
  ]);

test("names, times and texts are read as RFC 1035 and BIND write them", () => {
  const text = String.raw`$TTL 1h30m
@        IN SOA ns.example.com. admin.example.com. ( 1 ; serial
            7200 3600 1209600 3600 )
         IN NS  ns.example.com.
www      300 IN A 192.0.2.1
         IN 300 AAAA 2001:db8::1
alias    CNAME www
away.example.com. CNAME host.example.net.
$ORIGIN sub
a 86400 A 192.0.2.3
t TXT "one; not a comment" " two" ( "\"three\"" ) ; a comment
u TXT plain\032text`;
  assert.deepEqual(read(text), [
    ["www.example.com", "A", "192.0.2.1", 300],
    ["www.example.com", "AAAA", "2001:db8::1", 300],
    ["alias.example.com", "CNAME", "www.example.com", 5400],
    ["away.example.com", "CNAME", "host.example.net", 5400],
    ["a.sub.example.com", "A", "192.0.2.3", 86400],
    ["t.sub.example.com", "TXT", 'one; not a comment two"three"', 5400],
    ["u.sub.example.com", "TXT", "plain text", 5400],
  ]);
});

for (const [what, text, line] of [
  ["a class that is not the internet's", "a CH A 192.0.2.1", 1],
  ["an inclusion", "a A 192.0.2.1\n$INCLUDE /etc/passwd", 2],
  ["what BIND generates", "$GENERATE 1-9 a$ A 192.0.2.$", 1],
  ["a parenthesis that stays open", "\na TXT ( b", 2],
  ["one that was never opened", "a TXT b )", 1],
  ["a quotation that stays open", 'a TXT "b\n', 1],
  ["a record without content", "a A", 1],
  ["a record without a name", " A 192.0.2.1", 1],
  ["a record without a type", "a 300 IN", 1],
  ["an A record with two addresses", "a A 192.0.2.1 192.0.2.2", 1],
] as const) {
  test(`${what} is refused, with its line`, () => {
    assert.throws(
      () => read(text),
      (error: Failure) => {
        assert.equal(error.code, "dns_zone_file_invalid");
        return new RegExp(`line ${line}:`).test(error.message);
      },
    );
  });
}

test("a type that is not kept is refused by its name", () => {
  assert.throws(() => read("a A 192.0.2.1\n@ MX 10 mail"), /line 2: .*"MX"/);
});

test("what is written is read as it was", () => {
  const host = fc.constantFrom("example.com", "a.example.com", "*.b.example.com");
  const record = fc.oneof(
    fc.record({ name: host, type: fc.constant("A"), content: fc.ipV4(), proxied: fc.boolean() }),
    fc.record({ name: host, type: fc.constant("CNAME"), content: host, proxied: fc.boolean() }),
    fc.record({
      name: host,
      type: fc.constant("TXT"),
      content: fc.stringMatching(/^[ -~]{1,600}$/),
      proxied: fc.constant(false),
    }),
  );
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), (records) => {
      const all = records.map((one) => ({ ...one, ttl: 60 }));
      const found = readZoneFile(writeZoneFile("example.com", all), "example.com");
      const known = all.map((one) => (one.type === "TXT" ? { ...one, proxied: null } : one));
      assert.deepEqual(found, known);
    }),
    { numRuns: 100 },
  );
});

test("whatever a file holds, it is read or refused, and soon", () => {
  const part = fc.constantFrom(
    "a",
    " ",
    "\n",
    "\t",
    '"',
    ";",
    "(",
    ")",
    "\\",
    "@",
    "$",
    "TXT",
    "A",
    "IN",
    "300",
    "\\999",
    "é",
    "\0",
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 60 }), (parts) => {
      try {
        readZoneFile(parts.join(""), "example.com");
      } catch (error) {
        assert.ok(error instanceof Failure, String(error));
      }
    }),
    { numRuns: 300 },
  );
  const began = performance.now();
  assert.throws(() => read('"'.repeat(20_000)));
  assert.throws(() => read("(".repeat(20_000)));
  assert.throws(() => read(`a ${"1".repeat(20_000)}x A 192.0.2.1`));
  assert.throws(() => read(`a ${"1".repeat(29)}x A 192.0.2.1`));
  read(`a A 192.0.2.1 ; ${"cf_tags=".repeat(10_000)}`);
  read(`a TXT ${"b ".repeat(20_000)}`);
  assert.ok(performance.now() - began < 1_000);
});
