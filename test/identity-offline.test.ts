import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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

/** What OpenSSL says of an identity that is issued now, with every revocation list. */
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
  // A key that is there is never written over.
  const again = offline("root", ...made, "--out", "root2.pem", "--key", "root.key", "--json");
  assert.notEqual((await again).status, 0);

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
