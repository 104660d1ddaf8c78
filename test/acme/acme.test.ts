import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { connect } from "node:tls";
import { pino } from "pino";
import { intakeHere } from "../../src/certificates/upload-text.ts";
import { Challenges } from "../../src/ingress/challenges.ts";
import { AcmeRenewal } from "../../src/platform/acme-renewal.ts";
import { challengesOf, putChallenge } from "../../src/store/hosts/acme.ts";
import { listHostCertificates } from "../../src/store/hosts/host-certificates.ts";
import { countersign } from "../helpers/cli.ts";
import { freePort } from "../helpers/free-port.ts";
import { startControl } from "../helpers/control.ts";
import { startPlatform, type TestPlatform } from "../helpers/platform.ts";
import { buildPebble, startPebble } from "./pebble.ts";

const HOST = "api.acme.example";
const DAY = 86_400_000;
const programs = buildPebble();
const skip = programs === null && "there is no Go to build Pebble with";

function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "acme-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function listen(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The certificate that a client is shown. */
function presented({ ready }: TestPlatform): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const port = Number(new URL(ready.https!).port);
    const socket = connect({ port, servername: HOST, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

const args = ["--dev", "--https-port", "0", "--https-redirect"];

test("a host is issued a certificate over HTTP-01, and presents it", { skip }, async () => {
  using folder = temporaryFolder();
  await using platform = await startPlatform({ args });
  const httpPort = Number(new URL(platform.ready.http).port);
  await using pebble = await startPebble(programs!, { folder: folder.path, httpPort });
  const ca = join(folder.path, "ca.pem");
  writeFileSync(ca, pebble.authority);
  const at = ["--data", platform.dataFolder];
  const order = ["host", "acme", HOST, "--directory", pebble.directory, "--ca", ca];
  const refused = await countersign([...order, ...at]);
  assert.match(refused.stderr, /acme_terms_not_accepted/);
  const done = await countersign([
    ...order,
    "--accept-terms",
    "--email",
    "ops@acme.example",
    ...at,
  ]);
  assert.equal(done.status, 0, done.stderr);
  const shown = await presented(platform);
  assert.match(shown.issuer, /Pebble Intermediate/);
  assert.equal(shown.subjectAltName, `DNS:${HOST}`);
  assert.match((await countersign(["host", "list", ...at])).stdout, /renewed by ACME/);
  // The account and its terms are known, so the command that `doctor` prints is enough to order again.
  const again = await countersign(["host", "acme", HOST, ...at]);
  assert.equal(again.status, 0, again.stderr);
  assert.notEqual((await presented(platform)).serialNumber, shown.serialNumber);
  assert.doesNotMatch(platform.log() + done.stdout + done.stderr, /PRIVATE KEY/);
});

test(
  "a server that wants an external account opens one with its key, which nobody sees",
  { skip },
  async () => {
    using folder = temporaryFolder();
    await using platform = await startPlatform({ args });
    const httpPort = Number(new URL(platform.ready.http).port);
    const [first, second] = ["first", "second"].map((name) =>
      Buffer.from(name.padEnd(32, ".")).toString("base64url"),
    ) as [string, string];
    const external = { one: first, two: second };
    await using pebble = await startPebble(programs!, { folder: folder.path, httpPort, external });
    const file = (name: string, text: string): string => {
      const path = join(folder.path, name);
      writeFileSync(path, text);
      return path;
    };
    const at = ["--directory", pebble.directory, "--ca", file("ca.pem", pebble.authority)];
    at.push("--accept-terms", "--data", platform.dataFolder);
    const order = (...more: readonly string[]): ReturnType<typeof countersign> =>
      countersign(["host", "acme", HOST, ...at, ...more]);
    const without = await order();
    assert.match(without.stderr, /acme_external_account_required/);
    assert.match((await order("--eab-kid", "one")).stderr, /--eab-key-file go together/);
    const odd = await order("--eab-kid", "one", "--eab-key-file", file("odd", "no base64!"));
    assert.match(odd.stderr, /is not base64url/);
    assert.doesNotMatch(odd.stderr, /no base64!/);
    const wrong = await order("--eab-kid", "one", "--eab-key-file", file("wrong", second));
    assert.match(wrong.stderr, /acme_refused/);
    const right = file("right", `${first}\n`);
    const done = await order("--eab-kid", "one", "--eab-key-file", right);
    assert.equal(done.status, 0, done.stderr);
    const issued = await presented(platform);
    assert.match(issued.issuer, /Pebble Intermediate/);
    const again = await order();
    assert.equal(again.status, 0, again.stderr);
    const other = await order("--eab-kid", "two", "--eab-key-file", file("second", second));
    assert.equal(other.status, 0, other.stderr);
    assert.notEqual((await presented(platform)).serialNumber, issued.serialNumber);
    const audit = await countersign(["audit", "list", "--json", "--data", platform.dataFolder]);
    const said = [without, odd, wrong, done, again, other].map((one) => one.stdout + one.stderr);
    const all = said.join("") + platform.log() + audit.stdout;
    assert.ok(!all.includes(first) && !all.includes(second));
    await platform.end("SIGTERM");
    for (const name of readdirSync(platform.dataFolder)) {
      if (!name.startsWith("countersign.db")) continue;
      const bytes = readFileSync(join(platform.dataFolder, name));
      assert.ok(!bytes.includes(first) && !bytes.includes(second), name);
    }
  },
);

test(
  "over TLS-ALPN-01 nothing has to answer at port 80, and a renewal proves it in the same way",
  { skip },
  async () => {
    using folder = temporaryFolder();
    await using platform = await startPlatform({ args });
    const tlsPort = Number(new URL(platform.ready.https!).port);
    const httpPort = await freePort();
    await using pebble = await startPebble(programs!, { folder: folder.path, httpPort, tlsPort });
    const { directory, authority } = pebble;
    const path = `/accounts/{account}/countersign/hosts/${HOST}/acme`;
    const wish = { accept_terms: true, directory, authority };
    const refused = await platform.api("PUT", path, { ...wish, challenge: "http-01" });
    assert.match(refused.json.errors[0]?.message ?? "", /acme_refused|connection/i);
    const done = await platform.api("PUT", path, { ...wish, challenge: "tls-alpn-01" });
    assert.equal(done.status, 200, JSON.stringify(done.json.errors));
    const first = await presented(platform);
    assert.match(first.issuer, /Pebble Intermediate/);
    // An order without options repeats the stored ones, which are kept beside the certificate.
    const again = await platform.api("PUT", path, {});
    assert.equal(again.status, 200, JSON.stringify(again.json.errors));
    assert.notEqual((await presented(platform)).serialNumber, first.serialNumber);
    assert.doesNotMatch(platform.log(), /PRIVATE KEY/);
  },
);

test(
  "a platform that is killed in an order presents the certificate before",
  { skip },
  async () => {
    using folder = temporaryFolder();
    // Accepts the connection and never answers.
    const silent = createServer();
    await using held = await listen(silent);
    const dataFolder = join(folder.path, "data");
    const first = await startPlatform({ args, dataFolder });
    await using honest = await startPebble(programs!, {
      folder: folder.path,
      httpPort: Number(new URL(first.ready.http).port),
    });
    const path = `/accounts/{account}/countersign/hosts/${HOST}/acme`;
    const wish = { accept_terms: true, directory: honest.directory, authority: honest.authority };
    const issued = await first.api("PUT", path, wish);
    assert.equal(issued.status, 200, first.log());
    const { serialNumber } = await presented(first);
    await using stuck = await startPebble(programs!, { folder: folder.path, httpPort: held.port });
    const { directory, authority } = stuck;
    const order = first.api("PUT", path, { accept_terms: true, directory, authority });
    order.catch(() => {});
    // A test that fails here is at its end, and its servers with it.
    await once(silent, "request", { signal: AbortSignal.timeout(60_000) });
    await first.end("SIGKILL");
    await assert.rejects(order);
    const { token } = first.ready;
    await using second = await startPlatform({ args, dataFolder, token });
    assert.equal((await presented(second)).serialNumber, serialNumber);
    using database = new DatabaseSync(join(dataFolder, "countersign.db"), { readOnly: true });
    const challenges = database.prepare("SELECT host FROM acme_challenges").all();
    assert.deepEqual(challenges, [], "ten orders that were killed would leave no room for another");
    silent.closeAllConnections();
    silent.close();
  },
);

test(
  "after two thirds of its life it is renewed; a renewal that fails changes nothing",
  {
    skip,
  },
  async () => {
    using folder = temporaryFolder();
    await using control = await startControl();
    const { store, keyring, edge, outbound, accountId } = control;
    // An ingress that answers challenges from the store.
    await using ingress = await listen(
      createServer((request, response) => {
        const answer = async (): Promise<void> => {
          const challenges = new Challenges();
          challenges.update(accountId, await challengesOf(store.db, accountId));
          const host = request.headers.host?.split(":")[0] ?? "";
          const text = challenges.answer(host, request.url ?? "");
          response.writeHead(text === null ? 404 : 200).end(text);
        };
        void answer();
      }),
    );
    await using pebble = await startPebble(programs!, {
      folder: folder.path,
      httpPort: ingress.port,
    });
    const { directory, authority } = pebble;
    const path = `/accounts/${accountId}/countersign/hosts/${HOST}/acme`;
    const body = { directory, authority, accept_terms: true };
    const done = await control.call("PUT", path, body);
    assert.equal(done.status, 200, JSON.stringify(done.errors));
    const row = async () => (await listHostCertificates(store.db, accountId))[0]!;
    const before = await row();
    let now = new Date();
    await using renewal = AcmeRenewal.idle({
      store,
      keyring,
      edge,
      outbound,
      clock: () => now,
      intake: intakeHere,
      log: pino({ level: "silent" }),
    });
    now = new Date(Date.now() + 59 * DAY);
    await renewal.look();
    assert.equal((await row()).chain, before.chain, "it is not due");
    now = new Date(Date.now() + 61 * DAY);
    await renewal.look();
    const renewed = await row();
    assert.equal(renewed.acmeFailure, null);
    assert.notEqual(renewed.chain, before.chain);
    assert.equal(renewed.id, before.id);
    assert.deepEqual(await challengesOf(store.db, accountId), [], "nothing is left to answer");
    const createdOn = now.toISOString();
    await store.housekeep(async ({ db }) => {
      for (let token = 0; token < 10; token += 1) {
        const challenge = { token: `${token}`, host: "other.acme.example", keyAuthorization: "" };
        await putChallenge(db, { ...challenge, accountId, createdOn });
      }
    });
    const eleventh = await control.call("PUT", path.replace(HOST, "new.acme.example"), body);
    assert.equal(eleventh.errors[0]?.code, 7000865, "ten orders wait for their proofs");
    await pebble.end();
    now = new Date(Date.now() + 200 * DAY);
    await renewal.look();
    const failed = await row();
    assert.deepEqual([failed.chain, failed.acmeFailures], [renewed.chain, 1]);
    assert.match(failed.acmeFailure ?? "", /^acme_unreachable: /);
    assert.equal(Date.parse(failed.acmeNextOn!) - now.getTime(), 15 * 60_000);
    await renewal.look();
    assert.equal((await row()).acmeFailures, 1, "it is not tried again at once");
    // The clock was wrong for a moment: what it said is not waited for.
    now = new Date();
    await renewal.look();
    assert.equal((await row()).acmeFailures, 2);
  },
);
