import assert from "node:assert/strict";
import { test } from "node:test";
import { allScopes } from "../src/control/api/scopes.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { createToken } from "../src/store/access/tokens.ts";
import { callApi, type Envelope, startControl, type TestControl } from "./helpers/control.ts";
import { newMaterial } from "./helpers/one-of-each.ts";

test("a request for a certificate that is refused makes no CA", async () => {
  await using control = await startControl();
  const zone = await zoneOf(control);
  const authorities = async (): Promise<number> =>
    (await control.store.db.selectFrom("identityAuthorities").select("id").execute()).length;
  for (const path of [
    `/zones/${zone}/client_certificates`,
    "/accounts/{account}/countersign/identity/certificates",
  ]) {
    const answer = await control.call("POST", path, { csr: "none", validity_days: 30 });
    assert.equal(answer.errors[0]?.meta?.["failure"], "identity_request_invalid", path);
    assert.equal(await authorities(), 0, path);
  }
  const { csr } = await newMaterial();
  const path = `/zones/${zone}/client_certificates`;
  assert.equal((await control.call("POST", path, { csr, validity_days: 30 })).status, 200);
  assert.notEqual(await authorities(), 0);
});

test("an application of Access on another account's host is refused, with the host's name", async () => {
  await using control = await startControl();
  const other = await otherAccount(control);
  const path = "/accounts/{account}/access/apps";
  // Before the host was the other's.
  const early = await control.call("POST", path, app("early.victim.example/admin"));
  assert.equal(early.status, 201);
  await zoneOf(other);
  for (const domain of ["www.victim.example", "VICTIM.example./a", "*.victim.example"]) {
    const answer = await control.call("POST", path, app(domain));
    assert.equal(answer.status, 400, domain);
    assert.match(answer.errors[0]?.message ?? "", /victim\.example" belongs to another account/);
  }
  const again = `${path}/${early.result.id}`;
  assert.equal((await control.call("PUT", again, app("early.victim.example/admin"))).status, 200);
  assert.equal((await control.call("PUT", again, app("late.victim.example"))).status, 400);
  assert.equal((await other.call("POST", path, app("www.victim.example"))).status, 201);
});

function app(domain: string): object {
  return { type: "self_hosted", name: "n", domain };
}

type Account = Pick<TestControl, "accountId" | "call">;

async function zoneOf({ accountId, call }: Account): Promise<string> {
  const wanted = { name: "victim.example", account: { id: accountId } };
  return (await call("POST", "/zones", wanted)).result.id as string;
}

async function otherAccount({ store, api }: TestControl): Promise<Account> {
  const now = new Date();
  const { value } = await store.write(async ({ db }) => {
    const { id } = await createAccount(db, { name: "Other", subdomain: "other", now });
    const lasting = { accountId: id, name: "t", email: "t@localhost", expiresOn: null, now };
    const { token } = await createToken(db, { ...lasting, scopes: allScopes });
    return { value: { accountId: id, token, api }, audit: null };
  });
  return {
    accountId: value.accountId,
    call: (method, path, body): Promise<Envelope> => callApi(value, method, path, body),
  };
}
