import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { identityId, type IdentityIssuer } from "../src/contract/identity.ts";
import { HeldIdentities } from "../src/edge/identities.ts";
import { Failure } from "../src/failures/failures.ts";
import { HeldCertificates } from "../src/gateway/origin/held-certificates.ts";
import { requestIdentity } from "../src/gateway/identity-request.ts";
import { Identities } from "../src/identity/identities.ts";
import { Keyring } from "../src/keys/seal.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { openStore } from "../src/store/store.ts";
import { FakeClock } from "./helpers/fake-clock.ts";
import { until } from "./helpers/until.ts";

const HOUR = 3_600_000;

/** Control plane, edge and gateway, each with its own clock that is set by hand. */
async function ready(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "countersign-clocks-"));
  const store = await openStore(join(folder, "countersign.db"));
  const keyring = new Keyring(randomBytes(32));
  store.sealWith(keyring);
  const start = Date.now();
  const time = new FakeClock(start);
  const ahead = { issuer: 0, gateway: 0 };
  const state = { away: false, issued: 0, looks: 0 };
  const issuerNow = (): number => time.now() + ahead.issuer;
  const account = await store.housekeep(({ db }) =>
    createAccount(db, { name: "Acme", subdomain: null, now: new Date(start) }),
  );
  const control = new Identities({
    store,
    keyring,
    clock: () => new Date(issuerNow()),
    trustDomain: "example.org",
  });
  const key = { accountId: account.id, scriptName: "a" };
  const reached = <T>(work: () => Promise<T>): Promise<T> =>
    state.away ? Promise.reject(new Error("ECONNREFUSED")) : work();
  const issuer: IdentityIssuer = {
    identity: (of) => reached(() => control.identity(of)),
    issueIdentity: (of, csr) =>
      reached(() => {
        state.issued++;
        return control.issueIdentity(of, csr);
      }),
  };
  const held = new HeldCertificates(keyring, {
    now: () => time.now() + ahead.gateway,
    after: (ms, ring) => time.after(ms, ring),
  });
  const edge = new HeldIdentities({
    issuer,
    gateway: {
      requestIdentity: (of) => requestIdentity(of, keyring),
      setCertificate: (certificate) => Promise.resolve().then(() => held.set(certificate)),
    },
    log: pino({ level: "silent" }),
    clock: () => {
      state.looks++;
      return time.now();
    },
    every: 1,
  });
  t.after(async () => {
    edge.stop();
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  /** The certificate that a request of the Worker would present, or the code with which it would fail. */
  const presented = (): number | string => {
    try {
      return held.credential(account.id, identityId("a")).version;
    } catch (error) {
      return error instanceof Failure ? error.code : String(error);
    }
  };
  /** Waits until the edge has looked at its clock and acted on it. */
  const settled = async (): Promise<void> => {
    const from = state.looks;
    await until(() => state.looks > from + 5);
    await edge.changed({ ...key, scriptName: "a" });
  };
  await edge.ensure(key);
  assert.equal(presented(), 1);
  return { time, ahead, state, presented, settled, held, key };
}

test("a Worker presents its identity through 12 hours without the control plane, and a new one after them", async (t) => {
  // The latest moment for a renewal: no outage begins with less time left.
  t.mock.method(Math, "random", () => 0.999_999);
  const { time, state, presented, settled, held, key } = await ready(t);
  const { notBefore, notAfter } = held.credential(key.accountId, identityId("a"));
  time.advance(notBefore + (notAfter - notBefore) * 0.4899 - time.now());
  await settled();
  assert.equal(state.issued, 1, "it is not renewed yet");
  state.away = true;
  for (let hour = 0; hour < 12; hour += 1) {
    time.advance(HOUR);
    await settled();
    assert.equal(presented(), 1, `after ${hour + 1} hours`);
  }
  time.advance(HOUR);
  assert.equal(presented(), "certificate_expired");
  state.away = false;
  time.advance(HOUR);
  await until(() => presented() === 2);
});

test("a clock that jumps ahead by hours and back leaves a Worker with an identity that is valid", async (t) => {
  const { time, state, presented } = await ready(t);
  time.advance(20 * HOUR);
  await until(() => presented() === 2);
  // An identity issued 20 hours ahead is not valid yet.
  time.advance(-20 * HOUR);
  await until(() => presented() === 3);
  assert.equal(state.issued, 3);
});

test("after a clock was set back, what failed before is tried again at once", async (t) => {
  const { time, state, presented, settled } = await ready(t);
  time.advance(48 * HOUR);
  await until(() => presented() === 2);
  state.away = true;
  time.advance(30 * HOUR);
  await settled();
  assert.equal(presented(), "certificate_expired");
  state.away = false;
  time.advance(-40 * HOUR);
  await until(() => presented() === 3);
});

test("while the control plane's clock is hours ahead, a valid identity stays, and there is no storm of requests", async (t) => {
  const { time, ahead, state, presented, settled } = await ready(t);
  ahead.issuer = 6 * HOUR;
  time.advance(13 * HOUR);
  for (let look = 0; look < 20; look += 1) await settled();
  assert.equal(presented(), 1, "what is not valid yet never replaces what is");
  assert.ok(state.issued <= 3, `${state.issued} were issued`);
  ahead.issuer = 0;
  time.advance(HOUR);
  await until(() => typeof presented() === "number" && presented() !== 1);
});

test("while the control plane's clock is hours behind, what it issues is used, without a storm of requests", async (t) => {
  const { time, ahead, state, presented, settled } = await ready(t);
  ahead.issuer = -15 * HOUR;
  time.advance(13 * HOUR);
  await until(() => presented() === 2);
  for (let look = 0; look < 20; look += 1) await settled();
  assert.ok(state.issued <= 4, `${state.issued} were issued`);
});

test("a gateway whose clock jumps says so for a while, and presents the identity when the clock is back", async (t) => {
  const { ahead, presented } = await ready(t);
  ahead.gateway = 25 * HOUR;
  assert.equal(presented(), "certificate_expired");
  ahead.gateway = -2 * HOUR;
  assert.equal(presented(), "certificate_not_yet_valid");
  ahead.gateway = 0;
  assert.equal(presented(), 1);
});
