import assert from "node:assert/strict";
import { it } from "node:test";
import { pino } from "pino";
import { startControl } from "../../../test/helpers/control.ts";
import { makeAuthority } from "../../../test/helpers/pki.ts";
import { judgeStored } from "./standing-warnings.ts";

it("what stays worth a sentence is stored with an upload, and judged of what an earlier version has stored", async () => {
  await using control = await startControl();
  const authority = await makeAuthority("Root");
  const issuer = await authority.intermediate("Issuing CA");
  const leaf = await issuer.issue({ subject: "CN=server", usages: ["serverAuth"] });
  const [first = "", second = ""] = leaf.chain.split(/(?<=-----END CERTIFICATE-----\n)/);
  const { status } = await control.call("POST", "/accounts/{account}/mtls_certificates", {
    // The leaf last: what is told counts as the stored chain does.
    certificates: second + first,
    private_key: leaf.key,
    ca: false,
  });
  assert.equal(status, 200);
  const told = await warnings();
  assert.match(told[0]!, /^the extended key usage of certificate 1 \(CN=server\) lacks clientAuth/);

  await control.store.housekeep(({ db }) =>
    db.updateTable("certificateVersions").set({ warnings: null }).execute(),
  );
  assert.deepEqual(await warnings(), told);
  await judgeStored(control.store, pino({ level: "silent" })).finished;
  const rows = await control.store.db.selectFrom("certificateVersions").selectAll().execute();
  assert.deepEqual(
    rows.map((row) => row.warnings),
    [told],
  );

  async function warnings(): Promise<readonly string[]> {
    const { result } = await control.call("GET", "/accounts/{account}/countersign/certificates");
    return result[0].warnings;
  }
});
