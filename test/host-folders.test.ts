import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

const HOST = "api.folders.example";
let folder: string;
let dataFolder: string;
let authority: TestAuthority;
let platform: TestPlatform;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "host-folders-"));
  dataFolder = join(folder, "data");
  authority = await makeAuthority("Renewing CA");
  platform = await start();
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function start(token?: string): Promise<TestPlatform> {
  const args = ["--dev", "--https-port", "0"];
  return startPlatform({ dataFolder, args, ...(token !== undefined && { token }) });
}

/** With its root, because a chain without one might be incomplete and is waited for. */
async function issue(host = HOST): Promise<TestCertificate> {
  const leaf = await authority.issue({ subject: `CN=${host}`, dns: [host] });
  return { ...leaf, chain: `${leaf.chain}${authority.pem}` };
}

function doctor(): Promise<{ readonly stdout: string }> {
  return countersign(["doctor", "--data", platform.dataFolder]);
}

async function cli(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await countersign([...args, "--data", platform.dataFolder]);
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The number of the certificate that a client is shown. */
function presented(servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const port = Number(new URL(platform.ready.https!).port);
    const socket = connect({ port, servername, rejectUnauthorized: false }, () => {
      resolve(BigInt(`0x${socket.getPeerCertificate().serialNumber}`).toString(16));
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

function numberOf({ x509 }: TestCertificate): string {
  return BigInt(`0x${x509.serialNumber}`).toString(16);
}

/** Certbot's layout: links in `live`, which are moved to the files of the next number. */
function certbot(number: number, { chain, key }: TestCertificate): string {
  const [live, archive] = [join(folder, "live"), join(folder, "archive")];
  for (const path of [live, archive]) mkdirSync(path, { recursive: true });
  for (const [name, text] of [
    ["fullchain", chain],
    ["privkey", key],
  ] as const) {
    writeFileSync(join(archive, `${name}${number}.pem`), text);
    if (number > 1) unlinkSync(join(live, `${name}.pem`));
    symlinkSync(join("..", "archive", `${name}${number}.pem`), join(live, `${name}.pem`));
  }
  return live;
}

test("what certbot renews is presented at the next handshake, after a restart too", async () => {
  const [first, second, third] = [await issue(), await issue(), await issue()];
  const live = certbot(1, first);
  const told = await cli("host", "certificate", HOST, "--folder", live);
  assert.match(told, /✔ api\.folders\.example presents .*live is followed/);
  assert.equal(await presented(HOST), numberOf(first));
  certbot(2, second);
  await until(async () => (await presented(HOST)) === numberOf(second));
  assert.match(await cli("host", "show", HOST), /from a folder that is followed/);
  const { token } = platform.ready;
  await platform.end("SIGTERM");
  certbot(3, third);
  platform = await start(token);
  await until(async () => (await presented(HOST)) === numberOf(third));
});

test("what is for another host changes nothing, and doctor says so", async () => {
  const kept = await presented(HOST);
  certbot(4, await issue("other.folders.example"));
  // The writer has ten seconds to finish.
  await until(() => platform.log().includes("presents the certificate before"), 40_000);
  assert.match((await doctor()).stdout, / presents the certificate before: .*other\.folders/);
  assert.equal(await presented(HOST), kept);
  const fixed = await issue();
  certbot(5, fixed);
  await until(async () => (await presented(HOST)) === numberOf(fixed));
  assert.doesNotMatch((await doctor()).stdout, / presents the certificate before/);
});

test("a certificate that replaces a followed one by the API stays: the folder is followed no more", async () => {
  const live = certbot(6, await issue());
  await cli("host", "certificate", HOST, "--folder", live);
  const { json } = await platform.api("POST", "/zones", { name: "folders.example" });
  const path = `/zones/${(json.result as { id: string }).id}/custom_certificates`;
  const { json: answered } = await platform.api("GET", path);
  assert.ok(answered.success, JSON.stringify(answered.errors));
  const listed = answered.result as { id: string; hosts: string[] }[];
  const { id } = listed.find(({ hosts }) => hosts.includes(HOST))!;
  const own = await issue();
  const body = { certificate: own.chain, private_key: own.key };
  const patched = await platform.api("PATCH", `${path}/${id}`, body);
  assert.ok(patched.json.success, JSON.stringify(patched.json.errors));
  assert.equal(await presented(HOST), numberOf(own));
  assert.doesNotMatch(await cli("host", "show", HOST), /from a folder/);
  // The renewal in another folder is seen, so this folder's would have been too.
  const lego = join(folder, "beside");
  mkdirSync(lego);
  const put = ({ chain, key }: TestCertificate): void => {
    writeFileSync(join(lego, "beside.example.crt"), chain);
    writeFileSync(join(lego, "beside.example.key"), key);
  };
  put(await issue("beside.example"));
  await cli("host", "certificate", "beside.example", "--folder", lego);
  certbot(7, await issue());
  const renewed = await issue("beside.example");
  put(renewed);
  await until(async () => (await presented("beside.example")) === numberOf(renewed));
  assert.equal(await presented(HOST), numberOf(own));
});

test("each host has its own pair in lego's folder, which is no longer followed after the pair is deleted", async () => {
  const lego = join(folder, "lego");
  mkdirSync(lego);
  const put = (base: string, { chain, key }: TestCertificate) => {
    writeFileSync(join(lego, `${base}.crt`), chain);
    writeFileSync(join(lego, `${base}.key`), key);
    writeFileSync(join(lego, `${base}.issuer.crt`), authority.pem);
  };
  const [wild, exact] = [await issue("*.lego.example"), await issue("a.lego.example")];
  put("_.lego.example", wild);
  put("a.lego.example", exact);
  await cli("host", "certificate", "*.lego.example", "--folder", lego);
  await cli("host", "certificate", "a.lego.example", "--folder", lego);
  assert.equal(await presented("b.lego.example"), numberOf(wild));
  assert.equal(await presented("a.lego.example"), numberOf(exact));
  await cli("host", "certificate", "a.lego.example", "--delete");
  const renewed = await issue("*.lego.example");
  put("_.lego.example", renewed);
  put("a.lego.example", await issue("a.lego.example"));
  await until(async () => (await presented("b.lego.example")) === numberOf(renewed));
  assert.equal(await presented("a.lego.example"), numberOf(renewed));
});

test("a folder that cannot be read is refused, and only this machine's owner can name one", async () => {
  const args = ["host", "certificate", HOST, "--folder", join(folder, "none")];
  const { status, stderr } = await countersign([...args, "--data", platform.dataFolder]);
  assert.notEqual(status, 0);
  assert.match(stderr, /cannot be read/);
  const path = `/accounts/{account}/countersign/hosts/${HOST}/certificate`;
  const { json } = await platform.api("PUT", path, { folder: "/etc" });
  assert.equal(json.success, false);
});
