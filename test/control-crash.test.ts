import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { DatabaseSync } from "node:sqlite";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { presentedKeyPlace } from "../src/keys/places.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { callApi, continueControl, newState, type TestControlState } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

const ROUNDS = 6;

/** Everything that the API acknowledged, over all rounds. */
interface Acknowledged {
  readonly certificates: Set<string>;
  /** Script name → id of the newest version acknowledged as live. */
  readonly deployed: Map<string, string>;
  readonly secrets: Map<string, string>;
}

it("what was acknowledged before kill -9 is there, and what was not is not half there", async (t) => {
  const state = await newState();
  const acknowledged: Acknowledged = {
    certificates: new Set(),
    deployed: new Map(),
    secrets: new Map(),
  };
  try {
    const authority = await makeAuthority();
    for (let round = 0; round < ROUNDS; round += 1) {
      const { child, api } = await startChild(state);
      const target = { ...state, api };
      const clients = [0, 1, 2].map((client) =>
        writeUntilKilled(target, authority, `${round}-${client}`, acknowledged),
      );
      // Every other round is killed at any moment, even during the first upload. The other rounds are killed some time
      // after an acknowledgement, however slow the machine is.
      const awaited = acknowledged.certificates.size + 1 - (round % 2);
      while (acknowledged.certificates.size < awaited) await pause(10);
      await pause(Math.random() * 300);
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      await Promise.all(clients);
      await assertWhole(state, acknowledged);
    }
    t.diagnostic(
      `${acknowledged.certificates.size} certificates, ${acknowledged.deployed.size} scripts`,
    );
    assert.ok(acknowledged.certificates.size >= ROUNDS / 2);
  } finally {
    await rm(state.folder, { recursive: true, force: true });
  }
});

async function startChild(state: TestControlState): Promise<{ child: ChildProcess; api: string }> {
  const program = fileURLToPath(new URL("helpers/control-child.ts", import.meta.url));
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
  const masterKey = Buffer.from(state.masterKey).toString("hex");
  child.stdin.end(JSON.stringify({ ...state, masterKey }));
  for await (const api of createInterface({ input: child.stdout })) return { child, api };
  throw new Error("the control plane did not start");
}

async function writeUntilKilled(
  target: TestControlState & { readonly api: string },
  authority: TestAuthority,
  client: string,
  acknowledged: Acknowledged,
): Promise<void> {
  for (let turn = 0; ; turn += 1) {
    try {
      const leaf = await authority.issue({ subject: `CN=${client}-${turn}` });
      const certificate = await callApi(target, "POST", "/accounts/{account}/mtls_certificates", {
        certificates: leaf.pem,
        private_key: leaf.key,
      });
      assert.equal(certificate.status, 200);
      acknowledged.certificates.add(certificate.result.id);

      const name = `w${client}`;
      const script = `/accounts/{account}/workers/scripts/${name}`;
      const form = scriptForm({
        bindings: [
          { type: "mtls_certificate", name: "CERT", certificate_id: certificate.result.id },
          { type: "secret_text", name: "SECRET", text: `${client}-${turn}` },
        ],
      });
      const deployed = await callApi(target, "PUT", script, form);
      assert.equal(deployed.status, 200);
      acknowledged.deployed.set(name, deployed.result.deployment_id);

      const text = `put-${client}-${turn}`;
      const secret = { name: "PUT", text, type: "secret_text" };
      const put = await callApi(target, "PUT", `${script}/secrets`, secret);
      assert.equal(put.status, 200);
      acknowledged.secrets.set(name, text);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return;
    }
  }
}

async function assertWhole(state: TestControlState, acknowledged: Acknowledged): Promise<void> {
  await using control = await continueControl(state);
  const source = storeSource(control.store);
  const snapshot = await source.snapshot();
  const certificates = new Set(snapshot.certificates.map(({ certificateId }) => certificateId));
  for (const id of acknowledged.certificates) assert.ok(certificates.has(id), id);
  for (const id of certificates) {
    const certificate = await source.certificate(state.accountId, id);
    assert.ok(certificate);
    control.keyring.unseal(presentedKeyPlace(certificate), certificate.sealedKey);
  }
  const scripts = new Set(snapshot.scripts.map(({ scriptName }) => scriptName));
  for (const name of acknowledged.deployed.keys()) assert.ok(scripts.has(name), name);
  for (const scriptName of scripts) {
    const deployment = await source.deployment({ accountId: state.accountId, scriptName });
    const [share, ...others] = deployment?.versions ?? [];
    assert.ok(share && others.length === 0, `${scriptName} is whole`);
    assert.deepEqual(
      share.version.modules.map(({ name }) => name),
      ["index.js"],
    );
    const names = share.version.bindings.map(({ name }) => name);
    assert.ok(names.includes("CERT") && names.includes("SECRET"), names.join());
    await assertAcknowledgedIsStored(control, scriptName, acknowledged);
  }
  assertSound(control.databasePath);
}

async function assertAcknowledgedIsStored(
  control: Awaited<ReturnType<typeof continueControl>>,
  name: string,
  { deployed, secrets }: Acknowledged,
): Promise<void> {
  const path = `/accounts/{account}/workers/scripts/${name}/versions?per_page=100`;
  const { items } = (await control.call("GET", path)).result as {
    items: { id: string; resources: { bindings: { name: string }[] } }[];
  };
  const version = deployed.get(name);
  if (version !== undefined) assert.ok(items.some(({ id }) => id === version));
  if (!secrets.has(name)) return;
  assert.ok(items.some(({ resources }) => resources.bindings.some((b) => b.name === "PUT")));
}

function assertSound(path: string): void {
  const database = new DatabaseSync(path);
  try {
    assert.deepEqual(database.prepare("pragma integrity_check").all(), [
      Object.assign(Object.create(null), { integrity_check: "ok" }),
    ]);
    assert.deepEqual(database.prepare("pragma foreign_key_check").all(), []);
  } finally {
    database.close();
  }
}
