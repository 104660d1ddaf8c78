/**
 * What identities cost, at origins and in the control plane: `node bench/identity.ts [rounds] [--json FILE]`.
 * docs/benchmarks.md says how to read it.
 */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { atMost, type Aim } from "./aims.ts";
import { authorizeCost } from "./identity/authorize.ts";
import { issuingRate } from "./identity/issuing.ts";
import { revocationTime } from "./identity/revocation.ts";
import { SERIALS, serialsCost } from "./identity/serials.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" } },
});
const rounds = Number(positionals[0] ?? 100);

say(`load of the machine: ${loadavg()[0]!.toFixed(1)}; medians of ${rounds} rounds\n`);

const authorize = await authorizeCost(rounds);
say("a bare node:https server, and the same with `authorize`, by turns; 16 connections");
row("bare", `${whole(authorize.bareRps)}/s`, `CPU ${authorize.bareCpuUs.toFixed(2)} µs a request`);
row(
  "with authorize",
  `${whole(authorize.guardedRps)}/s`,
  `CPU ${authorize.guardedCpuUs.toFixed(2)} µs a request`,
);

const issuing = await issuingRate(Math.max(3, Math.round(rounds / 20)));
say("\nidentities of 200 Workers that ask at once");
row("keys and requests, in a gateway", `${whole(issuing.requestsPerSecond)}/s`);
row("signed and stored, in a control plane", `${whole(issuing.perSecond)}/s`);

const revocation = await revocationTime();
say(`\na revocation, to the first refusal; ${whole(revocation.connections)} open connections`);
row("median", `${revocation.p50Ms.toFixed(0)} ms`);
row("p99", `${revocation.p99Ms.toFixed(0)} ms`);

const serials = await serialsCost();
say(`\n${whole(SERIALS)} revoked serial numbers in an origin`);
row("memory", `${serials.mb.toFixed(1)} MB`);
row("a look-up that finds it", `${serials.hitNs.toFixed(0)} ns`);
row("a look-up that does not", `${serials.missNs.toFixed(0)} ns`);

const aims: readonly Aim[] = [
  atMost("% of a bare server's throughput that authorize takes", 3, authorize.takenPercent),
  atMost("ms of a revocation at an origin, p99, 1,000 connections", 1_000, revocation.p99Ms),
  atMost("MB for 100,000 revoked serial numbers", 8, serials.mb),
  atMost("ns of a look-up among them", 1_000, Math.max(serials.hitNs, serials.missNs)),
];
say("\naims");
for (const { name, aim, measured, holds } of aims) {
  say(`  ${holds ? "holds " : "MISSED"}  ${name.padEnd(58)} ${aim.padStart(7)}  ${measured}`);
}
if (values.json !== undefined) {
  const report = { authorize, issuing, revocation, serials, aims };
  writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}

function row(name: string, ...figures: readonly string[]): void {
  say(`  ${name.padEnd(40)} ${figures.map((figure) => figure.padStart(12)).join("  ")}`);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
