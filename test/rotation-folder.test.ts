import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pino } from "pino";
import { FolderSources } from "../src/platform/watched-folders.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

describe("a folder that another program renews", () => {
  let control: TestControl;
  let authority: TestAuthority;
  let folder: string;
  let id: string;
  let first: TestCertificate;
  let ticks = 0;
  before(async () => {
    control = await startControl();
    authority = await makeAuthority("Folder CA");
    folder = mkdtempSync(join(tmpdir(), "countersign-folder-"));
    first = await authority.issue({ subject: "CN=first" });
    put(first);
    const body = { certificates: first.chain, private_key: first.key, ca: false };
    id = (await control.call("POST", "/accounts/{account}/mtls_certificates", body)).result.id;
  });
  after(async () => {
    await control[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const clock = (): Date => {
    ticks += 1;
    return new Date();
  };
  const sources = (): Promise<FolderSources> => {
    const { store, keyring, edge } = control;
    const log = pino({ level: "silent" });
    const context = { store, keyring, edge, clock };
    return FolderSources.start({ context, log, interval: 10, patience: 100 });
  };
  const put = ({ chain, key }: Pick<TestCertificate, "chain" | "key">): void => {
    writeFileSync(join(folder, "tls.crt.new"), chain);
    writeFileSync(join(folder, "tls.key.new"), key);
    renameSync(join(folder, "tls.crt.new"), join(folder, "tls.crt"));
    renameSync(join(folder, "tls.key.new"), join(folder, "tls.key"));
  };
  // oxlint-disable-next-line typescript/no-explicit-any
  const shown = async (): Promise<any> =>
    (await control.call("GET", `/accounts/{account}/countersign/certificates/${id}`)).result;
  const isAt = async (version: number): Promise<boolean> => (await shown()).version === version;
  const target = (): { accountId: string; certificateId: string; folder: string } => ({
    accountId: control.accountId,
    certificateId: id,
    folder,
  });

  test("what is stored already is no new version, what appears is", async () => {
    await using followed = await sources();
    await followed.watch(target());
    const second = await authority.issue({ subject: "CN=second" });
    put(second);
    await until(() => isAt(2));
    const { result } = await control.call(
      "GET",
      `/accounts/{account}/countersign/certificates/${id}/versions`,
    );
    assert.equal(result.length, 2);
    assert.ok((await shown()).source.taken_on);
  });

  test("a restart continues with the folder, and accepts what appeared meanwhile", async () => {
    put(await authority.issue({ subject: "CN=third" }));
    await using _ = await sources();
    await until(() => isAt(3));
  });

  test("who rolled back does not get the folder's content again at the next start", async () => {
    await control.call("POST", `/accounts/{account}/countersign/certificates/${id}/rollback`);
    await using followed = await sources();
    // Watching again reads the folder from the beginning, as a restart does.
    await followed.watch(target());
    const looked = ticks;
    // The clock is read when a state is first seen, and when it is judged.
    await until(() => ticks >= looked + 2);
    assert.equal((await shown()).version, 2);
    put({ ...(await authority.issue({ subject: "CN=other" })), key: first.key });
    await until(async () => (await shown()).source.failure !== null);
    assert.equal((await shown()).version, 2);
  });

  test("a pair that does not match is said, and nothing is presented of it", async () => {
    await using _ = await sources();
    await until(async () => (await shown()).source.failure !== null);
    const { source, version } = await shown();
    assert.match(source.failure, /does not belong/);
    assert.equal(version, 2);
    put(await authority.issue({ subject: "CN=mended" }));
    await until(() => isAt(4));
    assert.equal((await shown()).source.failure, null);
  });

  test("a certificate that was deleted is followed no more", async () => {
    await using followed = await sources();
    await control.call("DELETE", `/accounts/{account}/mtls_certificates/${id}`);
    put(await authority.issue({ subject: "CN=late" }));
    assert.equal(await followed.unwatch(id), false);
  });
});
