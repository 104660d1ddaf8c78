import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import Cloudflare from "cloudflare";
import { countersign as cli } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

let platform: TestPlatform;
let client: Cloudflare;
let authority: TestAuthority;
before(async () => {
  authority = await makeAuthority();
  platform = await startPlatform({ args: ["--https-port", "0"] });
  const { api, token } = platform.ready;
  client = new Cloudflare({ baseURL: api, apiToken: token, maxRetries: 0 });
});
after(() => platform[Symbol.asyncDispose]());

async function presented(servername: string): Promise<string> {
  const { port, hostname } = new URL((platform.ready as unknown as { https: string }).https);
  const socket = connect({
    host: hostname,
    port: Number(port),
    servername,
    rejectUnauthorized: false,
  });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerX509Certificate()!;
  socket.destroy();
  return fingerprint256;
}

async function pair(
  ...names: (string | Date)[]
): Promise<{ certificate: string; private_key: string; fingerprint: string }> {
  const dns = names.filter((name) => typeof name === "string");
  const notAfter = names.find((name) => name instanceof Date);
  const leaf = await authority.issue({
    subject: `CN=${dns[0]}`,
    dns,
    usages: ["serverAuth"],
    ...(notAfter && { notAfter }),
  });
  const { X509Certificate } = await import("node:crypto");
  const fingerprint = new X509Certificate(leaf.pem).fingerprint256;
  return { certificate: leaf.chain, private_key: leaf.key, fingerprint };
}

test("a zone and the certificates of its hosts are made, renewed and deleted with Cloudflare's SDK", async () => {
  const byDefault = await presented("www.shop.example");
  const account = { id: platform.ready.accountId };
  const zone = await client.zones.create({ account, name: "shop.example", type: "full" });
  assert.equal((await client.zones.get({ zone_id: zone.id })).name, "shop.example");
  await assert.rejects(client.zones.create({ account, name: "shop.example" }), /exists/);

  const one = await pair("www.shop.example", "*.cdn.shop.example");
  const made = (await client.customCertificates.create({ zone_id: zone.id, ...only(one) })) as Made;
  assert.deepEqual(made.hosts, ["www.shop.example", "*.cdn.shop.example"]);
  assert.equal(await presented("www.shop.example"), one.fingerprint);
  assert.equal(await presented("a.cdn.shop.example"), one.fingerprint);
  assert.equal(await presented("other.shop.example"), byDefault);

  const two = await pair("www.shop.example");
  const target = { zone_id: zone.id };
  await client.customCertificates.edit(made.id, { ...target, ...only(two) });
  assert.equal(await presented("www.shop.example"), two.fingerprint);
  const listed = await client.customCertificates.list(target);
  assert.deepEqual(
    listed.result.map(({ id }: { id: string }) => id),
    [made.id],
  );

  await client.customCertificates.delete(made.id, target);
  assert.equal(await presented("www.shop.example"), byDefault);
  await client.zones.delete({ zone_id: zone.id });
  await assert.rejects(client.zones.get({ zone_id: zone.id }));
});

test("a certificate for a host outside of the zone, or for clients only, is refused", async () => {
  const account = { id: platform.ready.accountId };
  const zone = await client.zones.create({ account, name: "other.example" });
  const target = { zone_id: zone.id };
  const strange = await pair("www.other.example", "www.elsewhere.example");
  await assert.rejects(
    client.customCertificates.create({ ...target, ...only(strange) }),
    /elsewhere\.example/,
  );
  const leaf = await authority.issue({
    subject: "CN=client",
    dns: ["www.other.example"],
    usages: ["clientAuth"],
  });
  await assert.rejects(
    client.customCertificates.create({ ...target, certificate: leaf.chain, private_key: leaf.key }),
    /not for servers/,
  );
});

interface Made {
  readonly id: string;
  readonly hosts: readonly string[];
}

function only({ certificate, private_key }: Awaited<ReturnType<typeof pair>>): {
  certificate: string;
  private_key: string;
} {
  return { certificate, private_key };
}

test("countersign host shows, tests, uploads and deletes what a host presents", async () => {
  const account = { id: platform.ready.accountId };
  const zone = await client.zones.create({ account, name: "command.example" });
  const folder = await mkdtemp(join(tmpdir(), "countersign-host-"));
  const soon = new Date(Date.now() + 20 * 86_400_000);
  const one = await pair("api.command.example", "*.api.command.example", soon);
  await Promise.all([
    writeFile(join(folder, "cert.pem"), one.certificate),
    writeFile(join(folder, "key.pem"), one.private_key),
  ]);
  const run = (...args: string[]) =>
    cli(["host", ...args, "--data", platform.dataFolder], { cwd: folder });

  const first = await run("test", "api.command.example");
  assert.equal(first.status, 1);
  assert.match(first.stdout, /✘ presents .*not for this host/);

  const upload = ["certificate", "api.command.example", "--cert", "cert.pem", "--key", "key.pem"];
  const done = await run(...upload);
  assert.match(
    done.stdout,
    /✔ api\.command\.example presents a certificate .*expires in/,
    done.stderr,
  );
  assert.equal(await presented("api.command.example"), one.fingerprint);
  assert.match((await run("show", "x.api.command.example")).stdout, /for +api\.command\.example/);
  const tested = await run("test", "api.command.example", "--json");
  assert.equal(tested.status, 0, tested.stderr);
  assert.deepEqual(JSON.parse(tested.stdout).answer, { passes: true, code: null });

  await run("clients", "api.command.example", "required");
  const refused = await run("test", "api.command.example");
  assert.equal(refused.status, 1);
  assert.match(refused.stdout, /a client without a certificate is refused: client_certificate_/);
  const withOne = await run(
    "test",
    "api.command.example",
    "--cert",
    "cert.pem",
    "--key",
    "key.pem",
  );
  assert.match(withOne.stdout, /this certificate is refused: client_certificate_untrusted/);
  const listed = JSON.parse((await run("list", "--json")).stdout);
  const row = listed.find(({ host }: { host: string }) => host === "api.command.example");
  assert.equal(row.clients.mode, "required");

  assert.match(
    (await run("certificate", "b.command.example", ...upload.slice(2))).stderr,
    /not for/,
  );
  const { certificate, private_key } = one;
  const pull = { zone_id: zone.id, certificate, private_key };
  await client.originTLSClientAuth.zoneCertificates.create(pull);
  const doctor = await cli(["doctor", "--data", platform.dataFolder]);
  assert.match(doctor.stdout, /host +.*the certificate of api\.command\.example.* expires in/);
  assert.match(doctor.stdout, /origin pull +.*for origins of command\.example expires in/);
  await run("certificate", "api.command.example", "--delete");
  assert.notEqual(await presented("api.command.example"), one.fingerprint);
  assert.equal((await run("certificate", "api.command.example", "--delete")).status, 1);
  await rm(folder, { recursive: true });
});
