import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, existsSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-offline-"));
let platform: TestPlatform;

before(async () => {
  platform = await startPlatform({ args: ["--dev", "--trust-domain", "example.org"] });
});

after(async () => {
  await platform[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const offline = (...args: string[]): Promise<CliRun> =>
  countersign(["identity", "ca", ...args], { cwd: folder });
const cli = (...args: string[]): Promise<CliRun> =>
  countersign(["identity", ...args, "--data", platform.dataFolder], { cwd: folder });

function openssl(argv: string): string {
  const stdio = ["ignore", "pipe", "ignore"] as const;
  return execFileSync("openssl", argv.split(" "), {
    cwd: folder,
    encoding: "utf8",
    stdio: [...stdio],
  });
}

async function printed(run: Promise<CliRun>, file?: string): Promise<string> {
  const { status, stdout, stderr } = await run;
  assert.equal(status, 0, stdout + stderr);
  if (file !== undefined) writeFileSync(join(folder, file), stdout);
  return stdout;
}

async function codeOf(run: Promise<CliRun>): Promise<string> {
  return /"code":"([a-z_]+)"/.exec((await run).stdout)?.[1] ?? "none";
}

/** OpenSSL's verdict on an identity that is issued now, with every revocation list. */
async function verified(): Promise<string> {
  const { api, accountId } = platform.ready;
  for (const name of ["bundle.pem", "crl.pem"]) {
    const url = `${api}/accounts/${accountId}/countersign/identity/${name}`;
    writeFileSync(join(folder, name), await (await fetch(url)).text());
  }
  const subject = ["-subj", "/CN=ada", "-keyout", "ada.key", "-out", "ada.csr"];
  const kind = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" ");
  execFileSync("openssl", ["req", "-new", ...kind, ...subject], { cwd: folder, stdio: "ignore" });
  await printed(cli("issue", "--csr", "ada.csr", "--out", "ada.crt"));
  const files = "-CAfile bundle.pem -CRLfile crl.pem -untrusted ada.crt ada.crt".split(" ");
  const argv = ["verify", "-crl_check_all", "-purpose", "sslclient", ...files];
  return execFileSync("openssl", argv, { cwd: folder, encoding: "utf8" });
}

test("a root on another machine signs the intermediate, and its key never comes here", async () => {
  const { accountId } = platform.ready;
  const made = ["--account", accountId, "--trust-domain", "example.org"];
  await printed(offline("root", ...made, "--out", "root.pem", "--key", "root.key"));
  assert.equal(statSync(join(folder, "root.key")).mode & 0o777, 0o600);
  // An existing key is never overwritten, and nothing is written beside one.
  const again = await offline("root", ...made, "--out", "root2.pem", "--key", "root.key");
  assert.deepEqual([again.status, /code {2}(\w+)/.exec(again.stderr)?.[1]], [1, "file_exists"]);
  const half = await offline("root", ...made, "--out", "root.pem", "--key", "root2.key");
  assert.deepEqual([half.status, existsSync(join(folder, "root2.key"))], [1, false]);
  const typo = ["--account", accountId.slice(1), "--out", "typo.pem", "--key", "typo.key"];
  assert.equal((await offline("root", ...typo)).status, 2);

  const csr = await printed(cli("ca", "prepare", "--root", "root.pem"), "intermediate.csr");
  assert.match(csr, /^-----BEGIN CERTIFICATE REQUEST-----/);
  // Not before it is signed.
  assert.equal(await codeOf(cli("ca", "activate", "--json")), "identity_authority_order");
  const signed = ["--csr", "intermediate.csr", "--root", "root.pem", "--key", "root.key"];
  await printed(offline("sign", ...signed, "--days", "30"), "signed.pem");

  await printed(offline("root", ...made, "--out", "other.pem", "--key", "other.key"));
  const others = ["--csr", "intermediate.csr", "--root", "other.pem", "--key", "other.key"];
  await printed(offline("sign", ...others), "foreign.pem");
  writeFileSync(join(folder, "none.pem"), "none");
  for (const file of ["foreign.pem", "root.pem", "none.pem"]) {
    const code = await codeOf(cli("ca", "import", file, "--json"));
    assert.equal(code, "identity_chain_invalid", file);
  }
  await printed(cli("ca", "import", "signed.pem"));
  assert.match(await printed(cli("ca", "activate")), /active/);
  assert.match(await verified(), /ada\.crt: OK/);
  const shown = JSON.parse(await printed(cli("ca", "show", "--json"))) as { root_key: string }[];
  assert.deepEqual(
    shown.map(({ root_key }) => root_key),
    ["offline"],
  );
});

test("the OCSP responder says of each certificate what it is, and OpenSSL believes it", async () => {
  const { api, accountId } = platform.ready;
  const url = `${api}/accounts/${accountId}/countersign/identity/ocsp`;
  const parts = readFileSync(join(folder, "ada.crt"), "utf8").split(
    /(?<=-----END CERTIFICATE-----\n)/,
  );
  writeFileSync(join(folder, "ada-leaf.pem"), parts[0]!);
  writeFileSync(join(folder, "issuer.pem"), parts[1]!);
  const ask = (...more: string[]): string =>
    openssl(`ocsp -issuer issuer.pem -CAfile bundle.pem ${more.join(" ")} -url ${url}`);
  assert.match(ask("-cert ada-leaf.pem"), /ada-leaf.pem: good/);
  assert.match(ask("-sha256 -cert ada-leaf.pem"), /ada-leaf.pem: good/);
  assert.match(ask("-serial 0x1234"), /0x1234: unknown/);
  const serial = /=([0-9A-F]+)/.exec(openssl("x509 -noout -serial -in ada-leaf.pem"))![1]!;
  await printed(cli("withdraw", serial, "--yes"));
  assert.match(ask("-cert ada-leaf.pem"), /ada-leaf.pem: revoked/);
  // By GET as well. Nothing is said about certificates of another CA, or for a malformed request.
  openssl(`ocsp -issuer issuer.pem -cert ada-leaf.pem -no_nonce -reqout request.der`);
  const request = readFileSync(join(folder, "request.der")).toString("base64");
  const got = await fetch(`${url}/${encodeURIComponent(request)}`);
  writeFileSync(join(folder, "answer.der"), Buffer.from(await got.arrayBuffer()));
  const shown = openssl(
    "ocsp -issuer issuer.pem -cert ada-leaf.pem -CAfile bundle.pem -respin answer.der -no_nonce",
  );
  assert.match(shown, /revoked/);
  openssl(`ocsp -issuer other.pem -serial 1 -reqout other.der`);
  const foreign = await fetch(url, {
    method: "POST",
    body: readFileSync(join(folder, "other.der")),
  });
  // An answer with only a status: 6 unauthorized, 1 malformed.
  assert.deepEqual([...new Uint8Array(await foreign.arrayBuffer())], [0x30, 3, 0x0a, 1, 6]);
  for (const body of ["nonsense", "x".repeat(100_000)]) {
    const answer = await fetch(url, { method: "POST", body });
    assert.deepEqual([...new Uint8Array(await answer.arrayBuffer())], [0x30, 3, 0x0a, 1, 1]);
  }
});

test("a company's own CA may be the root: its own tools sign the request", async () => {
  openssl(
    "req -x509 -newkey rsa:2048 -nodes -keyout corp.key -out corp.pem -days 900 -subj /CN=Corp",
  );
  await printed(cli("ca", "prepare", "--root", "corp.pem"), "corp.csr");
  const extensions =
    "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
  writeFileSync(join(folder, "ext.cnf"), extensions);
  const argv =
    "x509 -req -in corp.csr -CA corp.pem -CAkey corp.key -CAcreateserial -days 300 -extfile ext.cnf -out corp-signed.pem";
  openssl(argv);
  await printed(cli("ca", "import", "corp-signed.pem"));
  await printed(cli("ca", "activate"));
  await printed(cli("issue", "--csr", "ada.csr", "--out", "ada2.crt"));
  const chain = readFileSync(join(folder, "ada2.crt"), "utf8");
  writeFileSync(join(folder, "between.pem"), chain);
  const checked = openssl("verify -CAfile corp.pem -untrusted between.pem ada2.crt");
  assert.match(checked, /OK/);
});
