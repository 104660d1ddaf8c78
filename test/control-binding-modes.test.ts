import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { WorkerBinding } from "../src/contract/change-feed.ts";
import { Failure } from "../src/failures/failures.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type Envelope, type TestControl } from "./helpers/control.ts";
import { engines } from "./helpers/database.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

for (const [engine, open] of Object.entries(engines)) {
  describe(`modes of bindings, on ${engine}`, () => {
    let control: TestControl;
    let authority: TestAuthority;
    let id: string;
    before(async () => {
      control = await startControl({ open });
      authority = await makeAuthority();
      id = await upload("CN=one");
      await deploy("shop", id);
    });
    after(() => control[Symbol.asyncDispose]());

    const upload = async (subject: string): Promise<string> => {
      const { chain, key } = await authority.issue({ subject });
      const files = { certificates: chain, private_key: key, ca: false };
      const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", files);
      return (result as { id: string }).id;
    };
    const deploy = async (script: string, certificateId: string): Promise<Envelope> => {
      const bindings = [
        { type: "mtls_certificate", name: "CERT", certificate_id: certificateId },
        { type: "mtls_certificate", name: "OTHER", certificate_id: certificateId },
      ];
      const path = `/accounts/{account}/workers/scripts/${script}`;
      return control.call("PUT", path, scriptForm({ bindings }));
    };
    const modes = (path = "", method = "GET", body?: object): Promise<Envelope> =>
      control.call(method, `/accounts/{account}/countersign/scripts/shop/bindings${path}`, body);
    const set = (mode: string): Promise<Envelope> => modes("/CERT", "PUT", { mode });
    const live = async (): Promise<readonly WorkerBinding[]> => {
      const key = { accountId: control.accountId, scriptName: "shop" };
      const deployment = await storeSource(control.store).deployment(key);
      return deployment!.versions[0]!.version.bindings;
    };
    const certificate = { type: "mtls_certificate", certificateId: "" } as const;

    it("the gateway is the default, and a mode is staged, stored and in force on return", async () => {
      assert.deepEqual((await modes()).result, [
        { name: "CERT", certificate_id: id, mode: "gateway" },
        { name: "OTHER", certificate_id: id, mode: "gateway" },
      ]);
      const { staged, applications } = control.edge;
      const [count, waited] = [staged.length, applications.length];
      assert.equal((await set("in-process")).result.mode, "in-process");
      assert.equal(staged.length, count + 1);
      assert.equal(applications.length, waited + 1);
      const expected = [
        { ...certificate, certificateId: id, name: "CERT", mode: "in-process" },
        { ...certificate, certificateId: id, name: "OTHER" },
      ];
      assert.deepEqual(staged.at(-1)!.bindings, expected);
      assert.deepEqual(await live(), expected);
      assert.equal((await modes("/CERT")).result.mode, "in-process");
    });

    it("a deploy keeps it, and is staged with it", async () => {
      assert.equal((await deploy("shop", await upload("CN=two"))).status, 200);
      assert.equal(
        (control.edge.staged.at(-1)!.bindings[0] as { mode?: string }).mode,
        "in-process",
      );
      assert.equal((await modes("/CERT")).result.mode, "in-process");
    });

    it("a mode with which the Worker does not start changes nothing", async () => {
      const failure = new Failure("worker_start_failed", { message: "it does not start" });
      control.edge.refuseNext("shop", failure);
      const refused = await set("gateway");
      assert.equal(refused.status, 400);
      assert.equal((await modes("/CERT")).result.mode, "in-process");
      const { versionId } = control.edge.staged.at(-1)!;
      assert.ok(control.edge.discarded.includes(versionId));
    });

    it("another mode, or another binding, is refused", async () => {
      assert.equal((await set("fast")).status, 400);
      assert.equal((await modes("/NONE", "PUT", { mode: "gateway" })).status, 404);
    });

    it("it goes back to the gateway, and with the script it is forgotten", async () => {
      assert.equal((await set("gateway")).result.mode, "gateway");
      assert.equal((await set("in-process")).result.mode, "in-process");
      await control.call("DELETE", "/accounts/{account}/workers/scripts/shop");
      await deploy("shop", id);
      assert.equal((await modes("/CERT")).result.mode, "gateway");
    });
  });
}
