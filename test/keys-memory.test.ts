import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createPrivateKey, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { commandOf, familyOf, findInMemory } from "./helpers/memory.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { startPlatform, type Envelope, type TestPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

const skip =
  process.platform === "linux" && process.getuid?.() === 0 ? false : "only root reads all memory";

const masterKey = randomBytes(32).toString("base64");

let authority: TestAuthority;
let platform: TestPlatform;
before(async () => {
  if (skip !== false) return;
  authority = await makeAuthority("Memory CA");
  platform = await startPlatform({ env: { COUNTERSIGN_MASTER_KEY: masterKey } });
});
after(() => platform?.[Symbol.asyncDispose]());

const certificates = (): string => `/accounts/${platform.ready.accountId}/mtls_certificates`;

/** The forms of a P-256 key that are searched for: its lines of base64, its scalar, and the scalar in hex. */
function needles(pem: string): Record<string, Buffer> {
  const lines = pem.split("\n").filter((line) => line.length > 40 && !line.startsWith("-"));
  const scalar = Buffer.from(createPrivateKey(pem).export({ format: "jwk" }).d!, "base64url");
  return {
    "first line": Buffer.from(lines[0]!),
    "second line": Buffer.from(lines[1]!),
    scalar,
    "scalar in hex": Buffer.from(scalar.toString("hex")),
  };
}

async function useApi(times = 30): Promise<void> {
  for (let call = 0; call < times; call++) {
    assert.equal((await platform.api("GET", certificates())).status, 200);
  }
}

function bodyOf({ chain, key }: TestCertificate): object {
  return { certificates: chain, private_key: key, ca: false };
}

test("the scan finds a key in a process that has it", { skip }, async () => {
  const { key } = await authority.issue({ subject: "CN=control" });
  const script = 'process.stdin.once("data", (k) => { globalThis.k = k; console.log("has it"); })';
  const holder = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  holder.stdin.write(key);
  await once(holder.stdout, "data");
  const found = await findInMemory(holder.pid!, needles(key));
  holder.kill();
  assert.ok(found["first line"]! > 0 && found["second line"]! > 0, JSON.stringify(found));
});

test("a master key that came in the environment is in none any more", { skip }, () => {
  for (const pid of familyOf(platform.process.pid!)) {
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
    assert.ok(!environment.includes(masterKey), commandOf(pid));
  }
});

test(
  "keys that were uploaded are in no process but the gateway afterwards",
  { skip },
  async (t) => {
    const seen = new Map<string, TestCertificate>();
    const issue = async (what: string): Promise<TestCertificate> => {
      const issued = await authority.issue({ subject: `CN=${what}` });
      seen.set(what, issued);
      return issued;
    };
    const post = async (path: string, body: object, status: number): Promise<Envelope> => {
      const answer = await platform.api("POST", path, body);
      assert.equal(answer.status, status, JSON.stringify(answer.json));
      return answer.json;
    };
    const account = `/accounts/${platform.ready.accountId}`;
    const other = await issue("another");
    await post(certificates(), { certificates: authority.pem, ca: true }, 200);
    const { id } = (await post(certificates(), bodyOf(await issue("uploaded")), 200)).result;
    const one = `${account}/countersign/certificates/${id}`;
    await post(`${one}/versions`, bodyOf(await issue("a new version")), 200);
    const mismatch = { certificates: other.chain, private_key: (await issue("refused")).key };
    await post(certificates(), mismatch, 400);
    await post(certificates(), { ...bodyOf(other), name: (await issue("as a name")).key }, 400);
    const unknown = { ...bodyOf(other), passphrase: (await issue("in an unknown field")).key };
    await post(certificates(), unknown, 200);
    const folder = mkdtempSync(join(tmpdir(), "countersign-keys-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const watched = await issue("from a watched folder");
    writeFileSync(join(folder, "tls.crt"), watched.chain);
    writeFileSync(join(folder, "tls.key"), watched.key);
    const args = ["certificate", "watch-folder", id, folder, "--data", platform.dataFolder];
    execFileSync(process.execPath, [program, ...args]);
    await until(async () => (await platform.api("GET", one)).json.result.version === 3);
    await useApi();
    // The intake ends a second after its last upload.
    await until(() =>
      familyOf(platform.process.pid!).every((pid) => !commandOf(pid).includes("intake/main")),
    );

    const all = Object.fromEntries(
      [...seen].flatMap(([what, { key }]) =>
        Object.entries(needles(key)).map(([name, needle]) => [`${what}: ${name}`, needle]),
      ),
    );
    const found: string[] = [];
    for (const pid of familyOf(platform.process.pid!).filter(
      (member) => !commandOf(member).includes("gateway/main"),
    )) {
      for (const [name, times] of Object.entries(await findInMemory(pid, all))) {
        if (times > 0) found.push(`${name}, ${times} times in ${commandOf(pid)}`);
      }
    }
    assert.deepEqual(found, []);
  },
);
