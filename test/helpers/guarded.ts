import assert from "node:assert/strict";
import { peopleApp } from "../../src/platform/access/people.ts";
import { Identities } from "../../src/identity/identities.ts";
import { makeRequest } from "../../src/identity/authority.ts";
import { confirmSecondFactor, setSecondFactor } from "../../src/store/access/second-factors.ts";
import { totpPlace } from "../../src/keys/places.ts";
import type { Audit } from "../../src/store/access/audit.ts";
import type { TestControl } from "./control.ts";
import { makeAuthority } from "./pki.ts";
import { scriptForm } from "./script-form.ts";

/**
 * Makes something of each kind that the audit log guards, as users do, and takes the first of two
 * away again where that can be done.
 *
 * @param afterEach is called after each change
 */
export async function makeGuarded(
  control: TestControl,
  afterEach: (what: string) => Promise<void> = async () => {},
): Promise<void> {
  // oxlint-disable-next-line typescript/no-explicit-any
  const call = async (method: string, path: string, body?: unknown): Promise<any> => {
    const answer = await control.call(method, path, body);
    assert.equal(answer.success, true, `${method} ${path}: ${JSON.stringify(answer.errors)}`);
    await afterEach(`${method} ${path}`);
    return answer.result;
  };
  const people = peopleApp({ ...control, clock: () => new Date() });
  const local = async (path: string, body: object): Promise<void> => {
    const answer = await people.request(path, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
    await afterEach(path);
  };
  const own = "/accounts/{account}";
  const { id: zone } = await call("POST", "/zones", {
    name: "example.com",
    account: { id: control.accountId },
  });

  const email = "ada@example.com";
  await local("/accounts", { name: "Shop", subdomain: "shop" });
  for (const address of [email, "bob@example.com"]) {
    await local("/users", { email: address, role: "admin" });
  }
  await local("/users", { email: "carl@example.com", role: "viewer" });
  await local("/users", { email, role: "viewer", account: "Shop" });
  await local("/users/role", { email, role: "deployer" });
  await local("/users/password", { email });
  await secondFactor(control, email);
  await afterEach("second factor");
  await secondFactor(control, "bob@example.com");
  await local("/users/remove", { email: "bob@example.com" });

  const groups = await call("GET", "/user/tokens/permission_groups");
  const token = (name: string) => ({
    name,
    expires_on: "2099-01-01T00:00:00Z",
    policies: [
      {
        effect: "allow",
        resources: { [`com.cloudflare.api.account.${control.accountId}`]: "*" },
        permission_groups: [{ id: groups[0].id }],
      },
    ],
  });
  for (const name of ["kept", "ended"]) {
    const { id } = await call("POST", "/user/tokens", token(name));
    await call("PUT", `/user/tokens/${id}`, { ...token(name), expires_on: "2098-01-01T00:00:00Z" });
    await call("PUT", `/user/tokens/${id}/value`, {});
    if (name === "ended") await call("DELETE", `/user/tokens/${id}`);
  }

  await call("POST", `${own}/countersign/identity/authorities/prepare`);
  await call("POST", `${own}/mtls_certificates`, {
    name: "other",
    certificates: (await makeAuthority("other")).pem,
    ca: true,
  });
  await call("POST", `${own}/access/apps`, {
    type: "self_hosted",
    name: "other",
    domain: "other.example.com",
  });
  await call("PUT", `${own}/workers/scripts/other`, scriptForm({}));
  await zoneThatGoes(call, control);
  for (const worker of ["a", "b"]) {
    await call("PUT", `${own}/countersign/policies/orders`, { allow: [{ worker }] });
  }
  for (const value of ["1.2", "1.3"]) {
    await call("PATCH", `/zones/${zone}/settings/min_tls_version`, { value });
  }
  for (const name of ["gone", "kept"]) {
    const authority = await makeAuthority(name);
    const ca = await call("POST", `${own}/mtls_certificates`, {
      name: `${name}-ca`,
      certificates: authority.pem,
      ca: true,
    });
    const leaf = await authority.issue({ subject: "CN=client" });
    const pair = { certificates: leaf.pem, private_key: leaf.key, ca: false };
    const certificate = await call("POST", `${own}/mtls_certificates`, { name, ...pair });
    await call("PUT", `${own}/countersign/authorities/${ca.id}/trust`, {
      account: false,
      certificates: [certificate.id],
      hosts: ["tied.example.com"],
    });
    await call("PUT", `${own}/countersign/hosts/h.example.com/clients`, {
      mode: "required",
      authorities: [ca.id, "managed"],
    });
    const associations = `/zones/${zone}/certificate_authorities/hostname_associations`;
    await call("PUT", associations, { hostnames: ["h.example.com", "i.example.com"] });
    await call("PUT", associations, { hostnames: ["h.example.com"] });
    const revocation = await call("POST", `${own}/countersign/client_revocations`, {
      serial_number: leaf.x509.serialNumber,
    });
    const list = await call("POST", `${own}/countersign/revocation_lists`, {
      list: await authority.revoke([leaf]),
    });
    const inAccess = await call("POST", `${own}/access/certificates`, {
      name,
      certificate: authority.pem,
      associated_hostnames: [`${name}.example.com`],
    });
    const service = await call("POST", `${own}/access/service_tokens`, { name });
    await call("POST", `${own}/access/service_tokens/${service.id}/rotate`, {
      previous_client_secret_expires_at: "2099-01-01T00:00:00Z",
    });
    const policy = await call("POST", `${own}/access/policies`, {
      name,
      decision: "non_identity",
      include: [{ service_token: { token_id: service.id } }],
    });
    const app = await call("POST", `${own}/access/apps`, {
      type: "self_hosted",
      name,
      domain: `${name}.example.com`,
      policies: [policy.id],
    });
    await call("POST", `${own}/access/apps/${app.id}/policies`, {
      name: `${name}-own`,
      decision: "bypass",
      include: [{ ip: { ip: "192.0.2.1/32" } }],
    });
    await call("PUT", `${own}/countersign/proxied_zones`, { zones: [`${name}.example.net`] });
    const { csr } = await makeRequest("client", "example");
    const issued = await call("POST", `/zones/${zone}/client_certificates`, {
      csr,
      validity_days: 30,
    });
    await call("DELETE", `/zones/${zone}/client_certificates/${issued.id}`);
    const record = { type: "A", name: `r-${name}.example.com`, proxied: true };
    const dns = await call("POST", `/zones/${zone}/dns_records`, {
      ...record,
      content: "192.0.2.1",
    });
    await call("PATCH", `/zones/${zone}/dns_records/${dns.id}`, { content: "192.0.2.2" });
    const host = `${own}/countersign/hosts/o-${name}.example.com/origin`;
    for (const to of ["https://one.example", "https://two.example"]) {
      await call("PUT", host, { to, certificate: certificate.id });
    }
    await call("PUT", `${own}/workers/scripts/${name}`, scriptForm({}));
    await call("POST", `/zones/${zone}/workers/routes`, {
      pattern: `w-${name}.example.com/*`,
      script: name,
    });
    await identityOf(control, name);
    await call("POST", `${own}/countersign/identities/${name}/revoke`);
    if (name === "kept") continue;
    await call("POST", `${own}/countersign/identities/${name}/restore`);
    await call("DELETE", `${own}/workers/scripts/${name}`);
    await call("DELETE", `/zones/${zone}/dns_records/${dns.id}`);
    await call("DELETE", host);
    await call("DELETE", `${own}/access/apps/${app.id}`);
    await call("DELETE", `${own}/access/policies/${policy.id}`);
    await call("DELETE", `${own}/access/service_tokens/${service.id}`);
    await call("DELETE", `${own}/access/certificates/${inAccess.id}`);
    await call("DELETE", `${own}/countersign/revocation_lists/${list.id}`);
    await call("DELETE", `${own}/countersign/client_revocations/${revocation.id}`);
    await call("PUT", `${own}/countersign/hosts/h.example.com/clients`, { mode: "off" });
    await call("DELETE", `${own}/mtls_certificates/${certificate.id}`);
    await call("DELETE", `${own}/mtls_certificates/${ca.id}`);
  }
}

type Call = (method: string, path: string, body?: unknown) => Promise<{ readonly id: string }>;

/** With what it has. */
async function zoneThatGoes(call: Call, { accountId }: TestControl): Promise<void> {
  const { id } = await call("POST", "/zones", { name: "gone.example", account: { id: accountId } });
  await call("PATCH", `/zones/${id}/settings/tls_1_3`, { value: "off" });
  const record = { type: "CNAME", name: "a.gone.example", content: "b.example", proxied: true };
  await call("POST", `/zones/${id}/dns_records`, record);
  await call("DELETE", `/zones/${id}`);
}

/** As the gateway asks for it when the Worker starts. */
async function identityOf(control: TestControl, scriptName: string): Promise<void> {
  const { store, keyring, accountId } = control;
  const trustDomain = "countersign.internal";
  const identities = new Identities({ store, keyring, clock: () => new Date(), trustDomain });
  const { csr } = await makeRequest(scriptName, "example");
  await identities.issueIdentity({ accountId, scriptName }, csr);
}

async function secondFactor({ store, keyring }: TestControl, email: string): Promise<void> {
  const { id } = await store.db
    .selectFrom("users")
    .select("id")
    .where("email", "=", email)
    .executeTakeFirstOrThrow();
  const audit: Audit = {
    by: { kind: "user", id, email, address: null },
    action: "user.factor",
    accountId: null,
    resource: { type: "user", id, name: email },
  };
  const sealedSecret = keyring.seal(totpPlace(id), "JBSWY3DPEHPK3PXP");
  await store.write(async ({ db }) => {
    await setSecondFactor(db, { userId: id, sealedSecret });
    return { value: null, audit };
  });
  await store.write(async ({ db }) => {
    await confirmSecondFactor(db, id, { step: 1, codes: ["a"], now: new Date() });
    return { value: null, audit };
  });
}
