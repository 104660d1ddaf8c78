import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { openOpenssl } from "./helpers/openssl.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const worker = `export default {
  async fetch(request, env) {
    const url = new URL(request.url).searchParams.get("to");
    try {
      return await env.CERT.fetch(url);
    } catch (error) {
      return new Response(error.message, { status: 599 });
    }
  }
}`;

describe("a certificate's life from the command line, on a platform that runs", () => {
  let authority: TestAuthority;
  let platform: TestPlatform;
  let origin: TestOrigin;
  let folder: string;
  let id: string;
  let first: TestCertificate;
  let second: TestCertificate;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "countersign-rotation-"));
    authority = await makeAuthority("Rotation CA");
    [platform, origin, first, second] = await Promise.all([
      startPlatform(),
      startOrigin({ authority }),
      authority.issue({ subject: "CN=first" }),
      authority.issue({ subject: "CN=second" }),
    ]);
    for (const [name, content] of Object.entries({
      "ca.pem": authority.pem,
      "first.pem": first.chain,
      "first.key": first.key,
      "second.pem": second.chain,
      "second.key": second.key,
    })) {
      writeFileSync(join(folder, name), content);
    }
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
    // A platform that is started again on the folder keeps it, so the test removes it.
    rmSync(platform.dataFolder, { recursive: true, force: true });
  });

  /** Runs a command with `--json`, which must succeed. */
  const run = async (...argv: string[]): Promise<any> => {
    const done = await command(...argv);
    assert.equal(done.status, 0, done.stdout + done.stderr);
    return JSON.parse(done.stdout);
  };
  const command = (...argv: string[]): ReturnType<typeof countersign> =>
    countersign([...argv, "--data", platform.dataFolder, "--json"], { cwd: folder });
  const text = async (...argv: string[]): Promise<string> => {
    const done = await countersign([...argv, "--data", platform.dataFolder], { cwd: folder });
    assert.equal(done.status, 0, done.stdout + done.stderr);
    return done.stdout;
  };
  const subject = async (): Promise<string> => {
    const { status, body } = await platform.worker("app", `/?to=${encodeURIComponent(origin.url)}`);
    return status === 200 ? (JSON.parse(body) as { subject: string }).subject : `${status} ${body}`;
  };

  test("an encrypted key is opened here, and the certificate is presented", async () => {
    await using openssl = await openOpenssl();
    await openssl.write("key.pem", first.key);
    await openssl.run([
      "pkey",
      "-in",
      "key.pem",
      "-aes256",
      "-passout",
      "pass:s3cret",
      "-out",
      "enc.pem",
    ]);
    writeFileSync(join(folder, "enc.key"), await openssl.read("enc.pem"));
    writeFileSync(join(folder, "passphrase"), "s3cret\n");
    await run("ca", "upload", "--cert", "ca.pem", "--name", "ca");
    const files = ["--cert", "first.pem", "--key", "enc.key", "--name", "app-cert"];
    const unasked = await command("certificate", "upload", ...files);
    assert.equal(unasked.status, 2);
    assert.match(unasked.stdout, /no terminal to ask for its passphrase/);
    const uploaded = await run(
      "certificate",
      "upload",
      ...files,
      "--passphrase-file",
      "passphrase",
    );
    ({ id } = uploaded);
    assert.match(uploaded.expires, /^expires in 89 days$/);
    const binding = { name: "CERT", type: "mtls_certificate", certificate_id: id };
    const form = scriptForm(
      { compatibility_date: "2026-11-01", bindings: [binding] },
      { "index.js": ["application/javascript+module", worker] },
    );
    const { status } = await platform.api("PUT", "/accounts/{account}/workers/scripts/app", form);
    assert.equal(status, 200);
    assert.equal(await subject(), "CN=first");
  });

  test("rotate presents the new version at the very next request, under the same id", async () => {
    const rotated = await run(
      "certificate",
      "rotate",
      "app-cert",
      "--cert",
      "second.pem",
      "--key",
      "second.key",
    );
    assert.deepEqual([rotated.id, rotated.version, rotated.active], [id, 2, true]);
    assert.equal(await subject(), "CN=second");
  });

  test("a rotation that is refused says why, and changes nothing", async () => {
    const refused = await command(
      "certificate",
      "rotate",
      "app-cert",
      "--cert",
      "first.pem",
      "--key",
      "second.key",
    );
    assert.equal(refused.status, 1);
    const { error } = JSON.parse(refused.stdout);
    assert.equal(error.code, "private_key_mismatch");
    assert.doesNotMatch(error.message, /openssl/, "the advice stands apart");
    assert.match(error.fix, /openssl/);
    assert.equal(await subject(), "CN=second");
  });

  test("roll back and activate", async () => {
    assert.equal((await run("certificate", "rollback", "app-cert")).version, 1);
    assert.equal(await subject(), "CN=first");
    await run("certificate", "activate", id, "2");
    assert.equal(await subject(), "CN=second");
    const versions = await run("certificate", "versions", "app-cert");
    assert.deepEqual(
      versions.map((version: { version: number; active: boolean }) => [
        version.version,
        version.active,
      ]),
      [
        [2, true],
        [1, false],
      ],
    );
  });

  test("show says everything, the last handshake and who binds it among it", async () => {
    await until(
      async () => (await run("certificate", "show", "app-cert")).last_handshake?.version === 2,
    );
    const shown = await run("certificate", "show", "app-cert");
    assert.deepEqual(shown.scripts, ["app"]);
    assert.equal(shown.last_handshake.origin, origin.url);
    assert.equal(shown.last_handshake.asked, true);
    const printed = await text("certificate", "show", "app-cert");
    for (const part of [
      "CN=second",
      "expires in 89 days",
      "app",
      "EC P-256",
      shown.fingerprint,
      origin.url,
    ]) {
      assert.ok(printed.includes(part), `${part} in\n${printed}`);
    }
    assert.match(await text("certificate", "list"), /app-cert.*v2.*expires in 89 days.*app/);
    assert.match(await text("ca", "list"), /ca .*expires in 36\d days.*all origins/);
    assert.equal(await text("certificate", "export", "app-cert"), second.chain);
  });

  test("a certificate that is not there is said, with those that are", async () => {
    const { status, stdout } = await command("certificate", "show", "no-such");
    assert.equal(status, 1);
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "certificate_not_found");
    assert.match(error.fix, /app-cert/);
  });

  test("test makes one handshake and says how it went", async () => {
    const report = await run("certificate", "test", "app-cert", origin.url);
    assert.equal(report.verdict.ok, true, JSON.stringify(report.verdict));
    assert.equal(report.tls.asked, true);
    const stranger = await makeAuthority("Stranger");
    await using other = await startOrigin({ authority: stranger });
    const refused = await command("certificate", "test", "app-cert", other.url);
    assert.equal(refused.status, 1, refused.stdout);
    assert.equal(JSON.parse(refused.stdout).verdict.ok, false);
  });

  test("hosts that are not allowed get nothing", async () => {
    await run("certificate", "set", "app-cert", "--allow-host", "other.example");
    assert.match(await subject(), /other\.example/);
    await run("certificate", "set", "app-cert", "--allow-host", "localhost");
    assert.equal(await subject(), "CN=second");
    await until(async () => (await run("certificate", "show", "app-cert")).last_failure !== null);
    const { last_failure: failure } = await run("certificate", "show", "app-cert");
    assert.equal(failure.code, "origin_host_not_allowed");
  });

  test("a host in a zone marked proxied answers 520 with the reason, until the mark is gone", async () => {
    assert.deepEqual(await run("zone", "proxied", "localhost"), { zones: ["localhost"] });
    assert.match(await subject(), /^520 .*proxied zone/s);
    assert.deepEqual(await run("zone", "list"), { zones: ["localhost"] });
    assert.deepEqual(await run("zone", "proxied", "localhost", "--off"), { zones: [] });
    assert.equal(await subject(), "CN=second");
  });

  test("a CA that is tied to another certificate or host does not count here", async () => {
    const elsewhere = await authority.issue({ subject: "CN=elsewhere" });
    writeFileSync(join(folder, "elsewhere.pem"), elsewhere.chain + elsewhere.key);
    await run("certificate", "upload", "--cert", "elsewhere.pem", "--name", "elsewhere");
    await run("ca", "trust", "ca", "--certificate", "elsewhere");
    assert.match(await subject(), /^5\d\d /);
    await run("ca", "trust", "ca", "--host", "localhost");
    assert.equal(await subject(), "CN=second");
    await run("ca", "trust", "ca", "--certificate", "app-cert");
    assert.equal(await subject(), "CN=second");
    await run("ca", "trust", "ca", "--nowhere");
    assert.match(await subject(), /^5\d\d /);
    await run("ca", "trust", "ca", "--account");
    assert.equal(await subject(), "CN=second");
  });

  test("the master key changes while requests are answered, and everything works after a restart", async () => {
    const { master_key_id } = await run("keys", "status");
    const asking = new AbortController();
    const answers: string[] = [];
    const traffic = (async () => {
      while (!asking.signal.aborted) answers.push(await subject());
    })();
    const changed = await run("keys", "rotate");
    assert.notEqual(changed.master_key_id, master_key_id);
    assert.equal(changed.change, null);
    asking.abort();
    await traffic;
    assert.deepEqual([...new Set(answers)], ["CN=second"]);
    await run("certificate", "rollback", "app-cert");
    assert.equal(await subject(), "CN=first", "the gateway has the new key");
    await run("certificate", "activate", "app-cert", "2");
    const { token } = platform.ready;
    const { dataFolder } = platform;
    await platform.end("SIGKILL");
    platform = await startPlatform({ dataFolder, token });
    assert.equal(await subject(), "CN=second");
  });

  test("a gateway that is started again after a change of the master key opens everything", async () => {
    await run("keys", "rotate");
    const { json } = await platform.api("GET", "/accounts");
    assert.equal(json.success, true);
    const gateway = await gatewayPid(platform);
    process.kill(gateway, "SIGKILL");
    await until(async () => (await subject()) === "CN=second");
  });

  test("a backup is taken while the platform runs, and restored into another folder", async () => {
    const file = join(folder, "copy.db");
    const facts = await run("backup", file);
    assert.equal(facts.certificates, 3);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const bytes = readFileSync(file, "latin1");
    assert.ok(bytes.includes("BEGIN CERTIFICATE"));
    assert.ok(!bytes.includes("PRIVATE KEY"));
    const masterKey = readFileSync(join(platform.dataFolder, "master.key"), "utf8").trim();
    assert.ok(!bytes.includes(masterKey));
    assert.ok(!bytes.includes(Buffer.from(masterKey, "base64").toString("latin1")));

    const target = join(folder, "restored");
    const restored = await countersign(["restore", file, "--data", target, "--json"]);
    assert.equal(JSON.parse(restored.stdout).master_key_present, false, restored.stdout);
    writeFileSync(join(target, "master.key"), masterKey, { mode: 0o600 });
    await using other = await startPlatform({ dataFolder: target, token: platform.ready.token });
    const { body } = await other.worker("app", `/?to=${encodeURIComponent(origin.url)}`);
    assert.equal(JSON.parse(body).subject, "CN=second");
  });

  test("a folder that another program renews becomes new versions", async () => {
    const renewed = join(folder, "renewed");
    mkdirSync(renewed);
    const empty = await command("certificate", "watch-folder", "app-cert", renewed);
    assert.equal(JSON.parse(empty.stdout).error.code, "folder_unreadable");
    const put = async (name: string): Promise<void> => {
      const { chain, key } = await authority.issue({ subject: `CN=${name}` });
      for (const [file, content] of [
        ["tls.crt", chain],
        ["tls.key", key],
      ] as const) {
        writeFileSync(join(renewed, `${file}.new`), content);
        renameSync(join(renewed, `${file}.new`), join(renewed, file));
      }
    };
    await put("third");
    await run("certificate", "watch-folder", "app-cert", renewed);
    await until(async () => (await subject()) === "CN=third");
    await put("fourth");
    await until(async () => (await subject()) === "CN=fourth");
    const { source } = await run("certificate", "show", "app-cert");
    assert.equal(source.folder, renewed);
    await run("certificate", "watch-folder", "app-cert", "--stop");
    assert.equal((await run("certificate", "show", "app-cert")).source, null);
  });

  test("revoke cuts at once, and a new version brings it back", async () => {
    const { revoked, presented } = await run("certificate", "revoke", "app-cert", "--yes");
    assert.deepEqual([revoked.length, presented], [4, null]);
    assert.match(await subject(), /revoked/);
    assert.match(await text("certificate", "list"), /revoked on/);
    const fifth = await authority.issue({ subject: "CN=fifth" });
    await using openssl = await openOpenssl();
    await openssl.write("all.pem", fifth.chain + fifth.key);
    await openssl.run([
      "pkcs12",
      "-export",
      "-in",
      "all.pem",
      "-out",
      "all.p12",
      "-passout",
      "pass:x",
    ]);
    writeFileSync(join(folder, "passphrase"), "x");
    const p12 = join(openssl.path, "all.p12");
    await run("certificate", "rotate", "app-cert", "--p12", p12, "--passphrase-file", "passphrase");
    assert.equal(await subject(), "CN=fifth");
  });

  test("a key that was moved in the database file is not presented as another's", async () => {
    const { token } = platform.ready;
    const { dataFolder } = platform;
    await platform.end("SIGTERM");
    {
      using database = new DatabaseSync(join(dataFolder, "countersign.db"));
      database.exec(`
        UPDATE certificate_versions SET (chain, sealed_key) = (
          SELECT chain, sealed_key FROM certificate_versions
          WHERE certificate_id = (SELECT id FROM certificates WHERE name = 'elsewhere')
        ) WHERE certificate_id = '${id}'`);
    }
    platform = await startPlatform({ dataFolder, token });
    const answer = await subject();
    assert.doesNotMatch(answer, /CN=/);
    assert.match(answer, /^5\d\d /);
    assert.match(platform.log(), /sealed_record_damaged|does not open/);
  });
});

async function gatewayPid({ dataFolder }: TestPlatform): Promise<number> {
  const { platformClient } = await import("../src/cli/client/platform-client.ts");
  const { gateway } = await platformClient(dataFolder).status();
  assert.ok(gateway.pid);
  return gateway.pid;
}
