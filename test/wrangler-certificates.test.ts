import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

describe("an unmodified wrangler, for certificates", { concurrency: true }, () => {
  let control: TestControl;
  let authority: TestAuthority;
  before(async () => {
    [control, authority] = await Promise.all([startControl(), makeAuthority("Wrangler Test CA")]);
  });
  after(() => control[Symbol.asyncDispose]());

  async function projectWithCertificate(subject: string): Promise<WranglerProject> {
    const leaf = await authority.issue({ subject });
    return wranglerProject(control, {
      "cert.pem": leaf.pem,
      "key.pem": leaf.key,
      "ca.pem": authority.pem,
    });
  }

  it("whoami names the account, asked for without an account id", async () => {
    await using project = await wranglerProject({ api: control.api, token: control.token });
    const run = await project.run(["whoami"]);
    assert.equal(run.exitCode, 0, run.output);
    assert.match(run.stdout, new RegExp(`Countersign .*${control.accountId}`));
    assert.match(run.stdout, /associated with the email admin@localhost/);
  });

  it("mtls-certificate uploads, lists and deletes by name", async () => {
    await using project = await projectWithCertificate("CN=first");
    const upload = await project.run(
      "mtls-certificate upload --cert cert.pem --key key.pem --name first-cert".split(" "),
    );
    assert.equal(upload.exitCode, 0, upload.output);
    assert.match(upload.stdout, /Success! Uploaded mTLS Certificate first-cert/);
    const id = /ID: ([0-9a-f-]{36})/.exec(upload.stdout)?.[1];
    assert.ok(id, upload.output);
    assert.match(upload.stdout, /Issuer: CN=Wrangler Test CA\nExpires on \d+\/\d+\/\d{4}/);

    const listed = await project.run(["mtls-certificate", "list"]);
    assert.match(listed.stdout, new RegExp(`ID: ${id}\nName: first-cert\n`));

    const deleted = await project.run(["mtls-certificate", "delete", "--name", "first-cert"]);
    assert.equal(deleted.exitCode, 0, deleted.output);
    assert.match(deleted.stdout, new RegExp(`Deleted certificate ${id} \\(first-cert\\)`));
    const again = await control.call("GET", `/accounts/{account}/mtls_certificates/${id}`);
    assert.equal(again.status, 404);
    assert.equal(again.errors[0]?.meta?.["failure"], "certificate_not_found");
  });

  it("cert uploads both kinds, lists both, and deletes by id", async () => {
    await using project = await projectWithCertificate("CN=second");
    const leaf = await project.run(
      "cert upload mtls-certificate --cert cert.pem --key key.pem --name second".split(" "),
    );
    assert.equal(leaf.exitCode, 0, leaf.output);
    const ca = await project.run(
      "cert upload certificate-authority --ca-cert ca.pem --name our-ca".split(" "),
    );
    assert.equal(ca.exitCode, 0, ca.output);
    const id = /ID: ([0-9a-f-]{36})/.exec(ca.stdout)?.[1] ?? "";

    const listed = await project.run(["cert", "list"]);
    assert.match(listed.stdout, /Name: second\n/);
    assert.match(listed.stdout, /Name: our-ca\n[\s\S]*CA: true/);
    const leaves = await project.run(["mtls-certificate", "list"]);
    assert.doesNotMatch(leaves.stdout, /our-ca/);

    const deleted = await project.run(["cert", "delete", "--id", id]);
    assert.equal(deleted.exitCode, 0, deleted.output);
  });

  it("a refused upload shows which file is wrong and the code", async () => {
    await using project = await projectWithCertificate("CN=third");
    const run = await project.run(
      "mtls-certificate upload --cert key.pem --key cert.pem --name swapped".split(" "),
    );
    assert.equal(run.exitCode, 1);
    assert.match(run.stderr, /\[code: 70002\d\d\]/);
    const { result } = await control.call(
      "GET",
      "/accounts/{account}/mtls_certificates?name=swapped",
    );
    assert.deepEqual(result, []);
  });
});
