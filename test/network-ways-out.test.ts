import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { refusedByDefault } from "../src/network/addresses.ts";
import { listOf } from "../src/network/ranges.ts";

// Addresses that no test may really own. In a separate network namespace they belong to loopback.
const skip = canHaveNetwork() ? false : "no network namespaces here";

const forbidden = [
  "127.0.0.1",
  "127.8.8.8",
  "::1",
  "0.1.2.3",
  "169.254.169.254",
  "169.254.170.2",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "224.0.0.1",
  "240.1.2.3",
  "255.255.255.255",
  "fe80::1",
  "fe80::a9fe:a9fe",
  "fec0::1",
  "ff02::1",
  "100::1",
  "fd00:ec2::254",
  "fd20:ce::254",
  "fd00:c1::a9fe:a9fe",
  "fd00:42::42",
  "fd00:a9fe:a9fe::1",
  "::a9fe:a9fe",
  "::ffff:0:a9fe:a9fe",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b::1.2.3.4",
  "64:ff9b:1::a9fe:a9fe",
  "64:ff9b:1:a9fe:a9:fe00::",
  "2002:a9fe:a9fe::1",
  "2001:0:a9fe:a9fe::1",
];
const mapped = ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16"];
const everyWay = ["a binding", "a binding in-process", "connect()", "fetch()", "webhook"];
const bindings = ["a binding", "a binding in-process", "webhook"];

test("every row of the table has an address below", () => {
  for (const { range } of refusedByDefault) {
    const list = listOf([range]);
    const has = forbidden.some((one) => list.check(one, isIPv4(one) ? "ipv4" : "ipv6"));
    assert.ok(has, range);
  }
});

test("no way out leads to an address of the table", { skip }, async () => {
  const reached = await waysOut({ addresses: [...forbidden, ...mapped, ...controls] });
  for (const way of everyWay) {
    const expected = bindings.includes(way) ? [...publics, ...privates] : publics;
    assert.deepEqual(reached[way], expected, way);
  }
});

test("development opens loopback to bindings, and nothing else", { skip }, async () => {
  const addresses = [...forbidden, ...mapped];
  const reached = await waysOut({ addresses, development: true });
  for (const way of everyWay) {
    const expected = bindings.includes(way)
      ? ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
      : [];
    assert.deepEqual(reached[way], expected, way);
  }
});

test("NAT64 that is opened leads to IPv4 as far as IPv4 is open", { skip }, async () => {
  const ends = [
    "64:ff9b::1.2.3.4",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a83f:8110",
  ];
  const allow = ["64:ff9b::/96"];
  const reached = await waysOut({ addresses: ends, allow, fetchAllow: ["public", ...allow] });
  for (const way of everyWay) assert.deepEqual(reached[way], ["64:ff9b::1.2.3.4"], way);
});

test("what is named is opened, and a deny list wins over it", { skip }, async () => {
  const named = ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"];
  const fetchAllow = ["public", "169.254.0.0/16", "100.100.100.200", "fd00:ec2::254"];
  const open = await waysOut({ addresses: named, allow: fetchAllow.slice(1), fetchAllow });
  for (const way of everyWay) assert.deepEqual(open[way], named, way);
  const deny = ["169.254.169.0/24", "11.0.0.0/8"];
  const addresses = ["169.254.169.254", "169.254.170.2", ...publics];
  const closed = await waysOut({ addresses, allow: ["169.254.0.0/16"], deny });
  for (const way of bindings) {
    assert.deepEqual(closed[way], ["169.254.170.2", "2a00:1234::44"], way);
  }
});

test(
  "workerd, which knows no ports, reaches no address of the platform's ports",
  { skip },
  async () => {
    const own = ["11.22.33.44", "10.1.2.3"];
    const fetchAllow = ["public", "private"];
    const reached = await waysOut({ addresses: controls, own, fetchAllow });
    for (const way of ["fetch()", "connect()", "a binding in-process"]) {
      assert.deepEqual(reached[way], ["2a00:1234::44", "fd12::1"], way);
    }
  },
);

test(
  "every private word of --fetch-allow leaves loopback and metadata shut",
  { skip },
  async () => {
    const fetchAllow = ["public", "private", "network"];
    const reached = await waysOut({ addresses: [...forbidden, ...mapped], fetchAllow });
    assert.deepEqual([reached["fetch()"], reached["connect()"]], [[], []]);
  },
);

const publics = ["11.22.33.44", "2a00:1234::44"];
const privates = ["10.1.2.3", "fd12::1"];
const controls = [...publics, ...privates];

interface Wanted {
  readonly addresses: readonly string[];
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly development?: boolean;
  readonly fetchAllow?: readonly string[];
  readonly own?: readonly string[];
}

async function waysOut(wanted: Wanted): Promise<Readonly<Record<string, readonly string[]>>> {
  const defaults = { allow: [], deny: [], development: false, fetchAllow: ["public"], own: [] };
  const script = join(import.meta.dirname, "helpers", "ways-out.ts");
  const task = JSON.stringify({ ...defaults, ...wanted });
  const { stdout } = await promisify(execFile)("unshare", [
    "--map-root-user",
    "--net",
    process.execPath,
    script,
    task,
  ]);
  return JSON.parse(stdout) as Record<string, string[]>;
}

function canHaveNetwork(): boolean {
  try {
    execFileSync("unshare", ["--map-root-user", "--net", "ip", "link", "set", "lo", "up"], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}
