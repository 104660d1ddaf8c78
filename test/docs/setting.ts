import assert from "node:assert/strict";
import { makeAuthority, type TestAuthority } from "../helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../helpers/platform.ts";
import { scriptForm } from "../helpers/script-form.ts";
import { Person } from "./person.ts";

/** A platform, and a person who has the files that the docs mention. */
export interface Setting extends AsyncDisposable {
  readonly platform: TestPlatform;
  readonly authority: TestAuthority;
  readonly person: Person;
  /** Uploads a Worker with one module. */
  readonly deploy: (name: string, code: string, metadata?: object) => Promise<void>;
}

export async function prepare(): Promise<Setting> {
  const platform = await startPlatform({ args: ["--dev", "--https-port", "0"] });
  const authority = await makeAuthority("Documented CA");
  const { api, token, accountId } = platform.ready;
  const person = new Person({
    COUNTERSIGN_DATA: platform.dataFolder,
    CLOUDFLARE_API_BASE_URL: api,
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: accountId,
  });
  const client = await authority.issue({ subject: "CN=client" });
  const next = await authority.issue({ subject: "CN=client" });
  const tls = await authority.issue({
    subject: "CN=api.example.com",
    dns: ["api.example.com"],
  });
  person.write({
    "cert.pem": client.chain,
    "key.pem": client.key,
    "new.pem": next.chain,
    "new.key": next.key,
    "tls.crt": tls.chain,
    "tls.key": tls.key,
    "fullchain.pem": tls.chain,
    "privkey.pem": tls.key,
    "partners-ca.pem": authority.pem,
    "partners.crl": await authority.revoke([]),
    "letsencrypt/fullchain.pem": tls.chain,
    "letsencrypt/privkey.pem": tls.key,
    password: "a long enough password\n",
  });
  const deploy = async (name: string, code: string, metadata: object = {}): Promise<void> => {
    const modules = { "index.js": ["application/javascript+module", code] as [string, string] };
    const form = scriptForm({ compatibility_date: "2026-11-01", ...metadata }, modules);
    const path = `/accounts/{account}/workers/scripts/${name}`;
    const { status, json } = await platform.api("PUT", path, form);
    assert.equal(status, 200, JSON.stringify(json));
  };

  return {
    platform,
    authority,
    person,
    deploy,
    [Symbol.asyncDispose]: async () => {
      await platform[Symbol.asyncDispose]();
      person[Symbol.dispose]();
    },
  };
}
