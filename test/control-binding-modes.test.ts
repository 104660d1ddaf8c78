import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { WorkerBinding } from "../src/contract/change-feed.ts";
import { Failure } from "../src/failures/failures.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type Envelope, type TestControl } from "./helpers/control.ts";
import { createToken } from "../src/store/access/tokens.ts";
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

    it("who owns no keys puts none into a Worker's process, on any path", async () => {
      const { value: weak } = await control.store.write(async ({ db }) => ({
        value: await createToken(db, {
          accountId: control.accountId,
          name: "ci",
          email: "ci@localhost",
          scopes: ["workers_scripts:write", "ssl_certs:read"],
          expiresOn: null,
          now: new Date(),
        }),
        audit: null,
      }));
      const asDeployer = async (method: string, path: string, body: unknown): Promise<Envelope> => {
        const response = await fetch(control.api + path.replace("{account}", control.accountId), {
          method,
          headers: { authorization: `Bearer ${weak.token}` },
          body: body instanceof FormData ? body : JSON.stringify(body),
        });
        return { ...((await response.json()) as Envelope), status: response.status };
      };
      const script = "/accounts/{account}/workers/scripts/shop";
      const path = "/accounts/{account}/countersign/scripts/shop/bindings/OTHER";
      const chosen = await asDeployer("PUT", path, { mode: "in-process" });
      assert.equal(chosen.errors[0]?.meta?.["failure"], "in_process_not_permitted");
      const { result: running } = await modes("/CERT");
      assert.equal(running.mode, "in-process");
      assert.equal(
        (await asDeployer("PUT", script, withCertificate(running.certificate_id))).status,
        200,
      );
      const staged = control.edge.staged.length;
      for (const [method, to] of [
        ["PUT", script],
        ["POST", `${script}/versions`],
      ] as const) {
        const refused = await asDeployer(method, to, withCertificate(id));
        assert.equal(refused.errors[0]?.meta?.["failure"], "in_process_not_permitted", to);
      }
      const versions = (await control.call("GET", `${script}/versions`)).result.items;
      const first = versions.at(-1).id as string;
      const back = await asDeployer("POST", `${script}/deployments`, {
        strategy: "percentage",
        versions: [{ version_id: first, percentage: 100 }],
      });
      assert.equal(back.errors[0]?.meta?.["failure"], "in_process_not_permitted", "a rollback");
      assert.equal(control.edge.staged.length, staged, "nothing was started");
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

function withCertificate(certificateId: string): FormData {
  return scriptForm({
    bindings: [{ type: "mtls_certificate", name: "CERT", certificate_id: certificateId }],
  });
}
