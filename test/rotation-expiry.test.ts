import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { pino } from "pino";
import { ExpiryMonitor } from "../src/platform/expiry.ts";
import { openStore } from "../src/store/store.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;

interface Received {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** A receiver of webhooks that answers with the next of `statuses`, then with 204. */
async function startReceiver(): Promise<
  AsyncDisposable & { url: string; received: Received[]; statuses: number[] }
> {
  const received: Received[] = [];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(statuses.shift() ?? 204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    statuses,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

describe("expiry", () => {
  const start = Date.now();
  let now = new Date(start);
  let control: TestControl;
  let authority: TestAuthority;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let secret: string;
  let monitor: ExpiryMonitor;
  const lines: { msg: string; level: number; threshold?: number }[] = [];
  const clock = (): Date => now;

  before(async () => {
    control = await startControl({ clock });
    receiver = await startReceiver();
    authority = await makeAuthority("Expiry CA");
    const set = await control.call("PUT", "/accounts/{account}/countersign/webhook", {
      url: receiver.url,
    });
    ({ secret } = set.result);
    const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const { store, keyring, outbound } = control;
    monitor = ExpiryMonitor.idle({ store, keyring, outbound, clock, log });
  });
  beforeEach(() => {
    now = new Date(start);
    receiver.received.splice(0);
    lines.splice(0);
  });
  after(async () => {
    await receiver[Symbol.asyncDispose]();
    await control[Symbol.asyncDispose]();
  });

  const upload = async (name: string, days: number): Promise<{ id: string; end: number }> => {
    const leaf = await authority.issue({
      subject: `CN=${name}`,
      notAfter: new Date(start + days * DAY),
    });
    const body = { name, certificates: leaf.chain, private_key: leaf.key, ca: false };
    const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", body);
    return { id: result.id, end: Date.parse(result.expires_on) };
  };
  const remove = (id: string): Promise<unknown> =>
    control.call("DELETE", `/accounts/{account}/mtls_certificates/${id}`);
  const thresholds = (): unknown[] =>
    receiver.received.map(({ body }) => JSON.parse(body).data.threshold_days);

  test("each threshold is reported once, by log and webhook, however often certificates are looked at", async () => {
    const { id, end } = await upload("told", 60);
    for (let left = 35; left >= -2; left -= 0.5) {
      now = new Date(end - left * DAY);
      await monitor.look();
      await monitor.look();
    }
    assert.deepEqual(thresholds(), [30, 14, 7, 3, 1, 0]);
    assert.deepEqual(
      lines.map(({ threshold }) => threshold),
      [30, 14, 7, 3, 1, 0],
    );
    assert.match(lines[3]?.msg ?? "", /^certificate told expires in 3 days$/);
    const types = receiver.received.map(({ body }) => JSON.parse(body).type);
    assert.deepEqual([types[4], types[5]], ["certificate.expiring", "certificate.expired"]);
    const [first] = receiver.received;
    const data = JSON.parse(first?.body ?? "").data;
    assert.deepEqual([data.certificate_id, data.name, data.version], [id, "told", 1]);
    await remove(id);
  });

  test("a late look reports the narrowest threshold only", async () => {
    const { id } = await upload("late", 2.5);
    await monitor.look();
    assert.deepEqual(thresholds(), [3]);
    await remove(id);
  });

  test("a message is signed as Standard Webhooks says, over what was sent", async () => {
    const { id } = await upload("signed", 20);
    await monitor.look();
    const [message] = receiver.received;
    assert.ok(message);
    const { headers, body } = message;
    assert.match(secret, /^whsec_/);
    const key = Buffer.from(secret.slice("whsec_".length), "base64");
    const signed = [headers["webhook-id"], headers["webhook-timestamp"], body].join(".");
    const expected = createHmac("sha256", key).update(signed).digest("base64");
    assert.equal(headers["webhook-signature"], `v1,${expected}`);
    assert.equal(headers["webhook-timestamp"], String(Math.floor(start / 1000)));
    await remove(id);
  });

  test("an undelivered notice is sent again, with the same id, also by another process", async () => {
    const { id } = await upload("retried", 20);
    receiver.statuses.push(500, 302);
    await monitor.look();
    await monitor.look();
    assert.equal(receiver.received.length, 1, "not before its time");
    now = new Date(now.getTime() + 60_000);
    await monitor.look();
    assert.equal(receiver.received.length, 2);
    const { result } = await control.call("GET", "/accounts/{account}/countersign/webhook/notices");
    assert.equal(result[0].last_error, "not delivered", "its status is for the log alone");
    assert.match(lines.at(-1)?.msg ?? "", /status 302/);
    now = new Date(now.getTime() + HOUR);
    await using store = await openStore(control.databasePath);
    const log = pino({ level: "silent" });
    const { keyring, outbound } = control;
    await using restarted = ExpiryMonitor.idle({ store, keyring, outbound, clock, log });
    await restarted.look();
    await restarted.look();
    assert.equal(receiver.received.length, 3);
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    assert.equal(new Set(ids).size, 1);
    await remove(id);
  });

  test("a rotated certificate is no longer reported, and its successor is", async () => {
    const { id } = await upload("rotated", 20);
    receiver.statuses.push(500);
    await monitor.look();
    const leaf = await authority.issue({
      subject: "CN=rotated",
      notAfter: new Date(start + 25 * DAY),
    });
    const body = { certificates: leaf.chain, private_key: leaf.key };
    await control.call("POST", `/accounts/{account}/countersign/certificates/${id}/versions`, body);
    receiver.received.splice(0);
    now = new Date(start + HOUR);
    await monitor.look();
    const told = receiver.received.map(({ body: text }) => JSON.parse(text).data);
    assert.deepEqual(
      told.map(({ version, threshold_days }) => [version, threshold_days]),
      [[2, 30]],
    );
    await remove(id);
  });

  test("a CA is reported too, a revoked certificate is not", async () => {
    const { id } = await upload("revoked", 5);
    await control.call("POST", `/accounts/{account}/countersign/certificates/${id}/revoke`, {});
    const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", {
      certificates: authority.pem,
      ca: true,
    });
    now = new Date(Date.parse(result.expires_on) - 10 * DAY);
    await monitor.look();
    const told = receiver.received.map(({ body }) => JSON.parse(body).data);
    assert.deepEqual(
      told.map(({ certificate_id, ca }) => [certificate_id, ca]),
      [[result.id, true]],
    );
    await remove(id);
    await remove(result.id);
  });

  test("certificates of hosts and origin pulls are reported as well, until others replace them", async () => {
    const zone = await control.call("POST", "/zones", { name: "told.example" });
    const at = (path: string): string => `/zones/${zone.result.id}${path}`;
    const put = async (path: string, days: number): Promise<{ id: string; end: number }> => {
      const leaf = await authority.issue({
        subject: "CN=told.example",
        dns: ["told.example"],
        notAfter: new Date(start + days * DAY),
      });
      const body = { certificate: leaf.chain, private_key: leaf.key };
      const { result } = await control.call("POST", at(path), body);
      return { id: result.id, end: Date.parse(result.expires_on) };
    };
    const host = await put("/custom_certificates", 60);
    const pull = await put("/origin_tls_client_auth", 60);
    for (let left = 31; left >= -1; left -= 1) {
      now = new Date(host.end - left * DAY);
      await monitor.look();
      await monitor.look();
    }
    const told = receiver.received.map(({ body }) => JSON.parse(body));
    for (const [kind, id] of [
      ["host_certificate", host.id],
      ["origin_pull_certificate", pull.id],
    ]) {
      const own = told.filter(({ data }) => data.certificate_id === id);
      assert.deepEqual(
        own.map(({ data }) => data.threshold_days),
        [30, 14, 7, 3, 1, 0],
      );
      const types = own.map(({ type }) => type);
      assert.deepEqual([types[4], types[5]], [`${kind}.expiring`, `${kind}.expired`]);
    }
    const { data } = told.find(({ type }) => type === "host_certificate.expiring");
    assert.deepEqual([data.hosts, data.subject], [["told.example"], "CN=told.example"]);
    assert.match(lines[0]?.msg ?? "", /^the certificate .*told\.example expires in 30 days$/);
    const listed = await control.call("GET", "/accounts/{account}/countersign/webhook/notices");
    const kinds = new Set(listed.result.map(({ kind }: { kind: string }) => kind));
    assert.ok(kinds.has("host") && kinds.has("origin_pull"));

    receiver.received.splice(0);
    now = new Date(start);
    await put("/custom_certificates", 90);
    await put("/origin_tls_client_auth", 90);
    now = new Date(start + 59.5 * DAY);
    await monitor.look();
    assert.deepEqual(thresholds(), [], "what stands behind the next one ends unseen");
    await control.call("DELETE", `/zones/${zone.result.id}`);
  });

  test("Prometheus reads the end of each", async () => {
    const { id, end } = await upload("metered", 20);
    const url = `${control.api}/accounts/${control.accountId}/countersign/metrics`;
    const headers = { authorization: `Bearer ${control.token}` };
    const text = await (await fetch(url, { headers })).text();
    const line = text.split("\n").find((one) => one.includes(id));
    assert.match(line ?? "", /^countersign_stored_certificate_expiry_timestamp_seconds\{/);
    assert.match(line ?? "", /name="metered"/);
    assert.equal(Number(line?.split(" ").at(-1)), end / 1000);
    assert.equal((await fetch(url)).status, 401);
    await remove(id);
  });

  test("a webhook is shown without its secret, tested, and removed", async () => {
    const path = "/accounts/{account}/countersign/webhook";
    const shown = await control.call("GET", path);
    assert.deepEqual(Object.keys(shown.result), ["url", "updated_on"]);
    const tested = await control.call("POST", `${path}/test`);
    assert.deepEqual(tested.result, { delivered: true, error: null });
    for (const url of ["ftp://example.com/", "javascript:alert(1)", "no url"]) {
      assert.equal((await control.call("PUT", path, { url })).status, 400, url);
    }
    await control.call("DELETE", path);
    const gone = await control.call("GET", path);
    assert.equal(gone.errors[0]?.meta?.["failure"], "webhook_not_found");
    const { id } = await upload("untold", 5);
    await monitor.look();
    assert.deepEqual(thresholds().length, 1, "the test message only");
    assert.equal(lines.length, 1);
    await remove(id);
  });
});
