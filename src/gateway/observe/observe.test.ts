import assert from "node:assert/strict";
import { test } from "node:test";
import type { Credential } from "../../certificates/credential.ts";
import type { GatewayEvent } from "../../contract/gateway-event.ts";
import { Failure } from "../../failures/failures.ts";
import type { ShownDetails } from "../../failures/rendered.ts";
import { GatewayObserver } from "./observe.ts";

test("a binding that fails in a loop fills no log, and metrics count all of it", () => {
  const lines: unknown[] = [];
  let counted = 0;
  const log = {
    info: (line: unknown) => lines.push(line),
    warn: (line: unknown) => lines.push(line),
  };
  const metrics = { traffic: () => ({ answered() {}, failed: () => (counted += 1) }) };
  const observer = new GatewayObserver(log as never, metrics as never, () => {});
  const binding = { socketPath: "", accountId: "a", scriptName: "s", bindingName: "B" };
  const loud = observer.traffic({ ...binding, certificateId: "c" });
  for (let i = 0; i < 1_000; i += 1) loud.failed(new Failure("origin_refused"), null, "0");
  assert.equal(counted, 1_000);
  assert.ok(lines.length >= 50 && lines.length < 70, String(lines.length));
  const quiet = observer.traffic({ ...binding, bindingName: "C", certificateId: "c" });
  quiet.failed(new Failure("origin_refused"), null, "0");
  assert.deepEqual((lines.at(-1) as { bindingName: string }).bindingName, "C");
});

const BINDING = { socketPath: "", accountId: "a", scriptName: "s", bindingName: "B" };
const WHERE = { accountId: "a", scriptName: "s", bindingName: "B" };

interface World {
  readonly observer: GatewayObserver;
  /** Lines of the log, with their level. */
  readonly lines: unknown[][];
  readonly events: Partial<GatewayEvent>[];
  readonly counted: unknown[][];
}

function world(details?: ShownDetails): World {
  const lines: unknown[][] = [];
  const events: Partial<GatewayEvent>[] = [];
  const counted: unknown[][] = [];
  const level =
    (name: string) =>
    (...line: unknown[]): void =>
      void lines.push([name, ...line]);
  const log = { info: level("info"), warn: level("warn"), debug: level("debug") };
  const metrics = {
    traffic: () => ({
      answered: (...args: unknown[]) => counted.push(["answered", ...args]),
      failed: (code: string) => counted.push(["failed", code]),
    }),
    handshakes: { inc: (labels: object) => counted.push(["handshake", labels]) },
    handshakeSeconds: { observe: (seconds: number) => counted.push(["seconds", seconds]) },
  };
  const emit = ({ at, ...event }: GatewayEvent): void => {
    assert.ok(Math.abs(Date.now() - Date.parse(at)) < 60_000);
    events.push(event);
  };
  const observer = new GatewayObserver(log as never, metrics as never, emit, details);
  return { observer, lines, events, counted };
}

test("a failure is in the log, in the metrics and at its certificate, each with what finds it again", () => {
  const { observer, lines, events, counted } = world();
  const traffic = observer.traffic({ ...BINDING, certificateId: "c" });
  traffic.answered(200, 5);
  traffic.failed(new Failure("origin_refused", { message: "why" }), "https://a.example", "ray");
  traffic.failed(new Failure("origin_http_refused", { message: "http" }), null);
  const line = { ...WHERE, certificateId: "c" };
  // What a Worker does wrong is no warning.
  assert.deepEqual(lines, [
    ["warn", { ...line, origin: "https://a.example", ray: "ray", code: "origin_refused" }, "why"],
    ["info", { ...line, origin: null, ray: undefined, code: "origin_http_refused" }, "http"],
  ]);
  const event = { kind: "failure", ...line };
  assert.deepEqual(events, [
    { ...event, origin: "https://a.example", code: "origin_refused", message: "why", ray: "ray" },
    { ...event, origin: null, code: "origin_http_refused", message: "http", ray: null },
  ]);
  assert.deepEqual(counted, [
    ["answered", 200, 5],
    ["failed", "origin_refused"],
    ["failed", "origin_http_refused"],
  ]);
});

test("what presents no certificate is in the log, and at no certificate", () => {
  const { observer, lines, events } = world();
  const traffic = observer.traffic({ ...BINDING, certificateId: "" });
  traffic.failed(new Failure("origin_refused"), null);
  observer.connected({ ...WHERE, credential: null, origin: "https://a.example" }, CONNECTION);
  const none = observer.connections({ ...BINDING, certificateId: "c" }, null);
  none.failed(new Failure("origin_refused"), null, "r");
  assert.equal(lines.length, 3);
  assert.deepEqual(events, []);
});

test("a connection is counted by how it began, and shown at its certificate's version", () => {
  const { observer, lines, events, counted } = world();
  const credential = { certificateId: "c", version: 3 } as Credential;
  const scope = { ...WHERE, credential, origin: "https://a.example" };
  observer.connected(scope, CONNECTION);
  observer.connected(scope, { ...CONNECTION, resumed: true });
  observer.handshakeFailed(scope as never, new Failure("origin_not_tls"));
  const shown = { ...WHERE, certificateId: "c", version: 3, origin: "https://a.example" };
  assert.deepEqual(lines[0], ["debug", { ...shown, ...CONNECTION }, "connected"]);
  const { accountId, certificateId, version, origin } = shown;
  const event = { accountId, certificateId, version, origin, tlsVersion: "TLSv1.3", asked: true };
  assert.deepEqual(events, [
    { kind: "handshake", ...event },
    { kind: "handshake", ...event },
  ]);
  assert.deepEqual(counted, [
    ["handshake", { result: "full" }],
    ["seconds", 0.25],
    ["handshake", { result: "resumed" }],
    ["seconds", 0.25],
    ["handshake", { result: "origin_not_tls" }],
  ]);
});

test("a database's connections are counted as its binding's, by the certificate that they present", () => {
  const { observer, events, counted } = world("owner");
  const binding = { ...BINDING, certificateId: "" };
  const connections = observer.connections(binding, "c");
  assert.equal(connections.details, "owner");
  assert.equal(observer.traffic(binding).details, "owner");
  assert.equal(world().observer.traffic(binding).details, "public");
  const credential = { certificateId: "c", version: 3 } as Credential;
  connections.connected("postgres://db:5432", credential, CONNECTION);
  connections.failed(new Failure("database_gone"), "postgres://db:5432", "r");
  assert.deepEqual(counted[0], ["answered", 200, 250]);
  assert.deepEqual(
    events.map(({ kind, certificateId }) => [kind, certificateId]),
    [
      ["handshake", "c"],
      ["failure", "c"],
    ],
  );
});

test("a binding that failed in a loop is heard again ten times a second", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const { observer, lines } = world();
  const traffic = observer.traffic({ ...BINDING, certificateId: "c" });
  const fail = (): number => {
    lines.length = 0;
    for (let i = 0; i < 100; i += 1) traffic.failed(new Failure("origin_refused"), null);
    return lines.length;
  };
  assert.equal(fail(), 50);
  now += 99;
  assert.equal(fail(), 0);
  now += 1;
  assert.equal(fail(), 1);
  now += 1_000;
  assert.equal(fail(), 10);
  now += 60_000;
  assert.equal(fail(), 50);
});

const CONNECTION = { ms: 250, tlsVersion: "TLSv1.3", resumed: false, asked: true };
