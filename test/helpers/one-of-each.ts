import assert from "node:assert/strict";
import type { Envelope } from "./platform.ts";
import { openOpenssl } from "./openssl.ts";
import { makeAuthority } from "./pki.ts";
import { scriptForm } from "./script-form.ts";

/** Calls the API as an account's admin. `{account}` in the path stands for the account's id. */
export type Caller = (method: string, path: string, body?: unknown) => Promise<Envelope>;

export interface Owner {
  readonly accountId: string;
  /** What its names begin with. */
  readonly word: string;
  readonly material: Material;
}

/** PEM that is nobody's: a request for a certificate, a server's certificate with its key, and its CA. */
export interface Material {
  readonly csr: string;
  readonly pem: string;
  readonly key: string;
  readonly ca: string;
}

/** The ids and names of what an account has: one of each kind. */
export type Things = Readonly<
  Record<
    | "word"
    | "accountId"
    | "certificate"
    | "authority"
    | "kv"
    | "d1"
    | "queue"
    | "queueName"
    | "consumer"
    | "bucket"
    | "hyperdrive"
    | "script"
    | "workflow"
    | "version"
    | "deployment"
    | "tail"
    | "zone"
    | "zoneId"
    | "host"
    | "originHost"
    | "route"
    | "domain"
    | "record"
    | "recordName"
    | "zonePull"
    | "hostPull"
    | "custom"
    | "client"
    | "revocation"
    | "list"
    | "serial"
    | "policyName"
    | "serviceToken"
    | "policy"
    | "app"
    | "appPolicy"
    | "clientCa"
    | "token"
    | "group"
    | "instance"
    | "objects"
    | "subdomain",
    string
  >
>;

/**
 * Gives an account one of each thing that the API knows.
 * @throws AssertionError if the API refuses one
 */
export async function makeOneOfEach(
  call: Caller,
  { accountId, word, material: { csr } }: Owner,
): Promise<Things> {
  const made = async (
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Envelope["result"]> => {
    const answer = await call(method, path, body);
    assert.ok(answer.success, `${method} ${path}: ${JSON.stringify(answer.errors)}`);
    return answer.result;
  };
  const below = "/accounts/{account}";
  const authority = await makeAuthority(`${word} CA`);
  const leaf = await authority.issue({ subject: `CN=${word}` });
  const pair = { certificates: leaf.pem, private_key: leaf.key };
  const server = await authority.issue({ subject: `CN=${word}`, dns: [`${word}.example`] });
  const zone = `${word}.example`;

  const certificate = await made("POST", `${below}/mtls_certificates`, { name: word, ...pair });
  const next = await authority.issue({ subject: `CN=${word}-next` });
  await made("POST", `${below}/countersign/certificates/${certificate.id}/versions`, {
    certificates: next.pem,
    private_key: next.key,
  });
  const ca = await made("POST", `${below}/mtls_certificates`, {
    name: `${word}-ca`,
    certificates: authority.pem,
    ca: true,
  });
  const kv = await made("POST", `${below}/storage/kv/namespaces`, { title: `${word}-kv` });
  const d1 = await made("POST", `${below}/d1/database`, { name: `${word}-d1` });
  const queue = await made("POST", `${below}/queues`, { queue_name: `${word}-queue` });
  await made("POST", `${below}/r2/buckets`, { name: `${word}-bucket` });
  const hyperdrive = await made("POST", `${below}/hyperdrive/configs`, {
    name: `${word}-db`,
    origin: {
      scheme: "postgres",
      host: "db.example",
      port: 5432,
      database: "d",
      user: "u",
      password: "p",
    },
    mtls: { mtls_certificate_id: certificate.id, ca_certificate_id: ca.id, sslmode: "verify-full" },
  });
  const script = `${word}-worker`;
  const scripts = `${below}/workers/scripts/${script}`;
  const migrations = { new_tag: "v1", new_sqlite_classes: ["Kept"] };
  await made("PUT", scripts, workerOf(word, certificate.id, { migrations }));
  await made("PUT", scripts, workerOf(word, certificate.id));
  await made("PUT", `${scripts}/secrets`, { name: "SECRET", text: word, type: "secret_text" });
  await made("PUT", `${scripts}/schedules`, [{ cron: "0 0 1 1 *" }]);
  await made("POST", `${scripts}/subdomain`, { enabled: true, previews_enabled: true });
  await made("PUT", `${below}/workflows/${word}-flow`, { script_name: script, class_name: "Flow" });
  const consumer = await made("POST", `${below}/queues/${queue.queue_id}/consumers`, {
    type: "worker",
    script_name: script,
  });
  const versions = await made("GET", `${scripts}/versions`);
  const deployments = await made("GET", `${scripts}/deployments`);
  const tail = await made("POST", `${scripts}/tails`, { filters: [] });

  const { id: zoneId } = await made("POST", "/zones", { name: zone, account: { id: accountId } });
  const route = await made("POST", `/zones/${zoneId}/workers/routes`, {
    pattern: `${zone}/*`,
    script,
  });
  const domain = await made("PUT", `${below}/workers/domains`, {
    hostname: `www.${zone}`,
    service: script,
    zone_id: zoneId,
  });
  const record = await made("POST", `/zones/${zoneId}/dns_records`, {
    type: "A",
    name: `a.${zone}`,
    content: "192.0.2.1",
    proxied: true,
    ttl: 1,
  });
  const presented = { certificate: leaf.pem, private_key: leaf.key };
  const pulls = `/zones/${zoneId}/origin_tls_client_auth`;
  const zonePull = await made("POST", pulls, presented);
  const hostPull = await made("POST", `${pulls}/hostnames/certificates`, presented);
  await made("PUT", `${pulls}/hostnames`, {
    config: [{ hostname: `a.${zone}`, cert_id: hostPull.id, enabled: true }],
  });
  const custom = await made("POST", `/zones/${zoneId}/custom_certificates`, {
    certificate: server.pem,
    private_key: server.key,
  });
  const client = await made("POST", `/zones/${zoneId}/client_certificates`, {
    csr,
    validity_days: 30,
  });
  await made("PUT", `${below}/countersign/hosts/${zone}/clients`, {
    mode: "required",
    authorities: [ca.id],
  });
  await made("PUT", `${below}/countersign/hosts/o.${zone}/origin`, {
    to: "https://origin.example",
    certificate: certificate.id,
  });
  await made("PUT", `${below}/countersign/proxied_zones`, { zones: [`proxied-${zone}`] });
  const revocation = await made("POST", `${below}/countersign/client_revocations`, {
    serial_number: leaf.x509.serialNumber,
  });
  const list = await made("POST", `${below}/countersign/revocation_lists`, {
    list: await authority.revoke([next]),
  });
  const issued = await made("POST", `${below}/countersign/identity/certificates`, {
    csr,
    validity_days: 30,
  });
  await made("PUT", `${below}/countersign/policies/${word}-policy`, {
    allow: [{ worker: script }],
  });

  const serviceToken = await made("POST", `${below}/access/service_tokens`, { name: word });
  const policy = await made("POST", `${below}/access/policies`, {
    name: word,
    decision: "non_identity",
    include: [{ service_token: { token_id: serviceToken.id } }],
  });
  const app = await made("POST", `${below}/access/apps`, {
    type: "self_hosted",
    name: word,
    domain: zone,
    policies: [policy.id],
  });
  const appPolicy = await made("POST", `${below}/access/apps/${app.id}/policies`, {
    name: `${word}-own`,
    decision: "bypass",
    include: [{ everyone: {} }],
  });
  const clientCa = await made("POST", `${below}/access/certificates`, {
    name: word,
    certificate: authority.pem,
    associated_hostnames: [zone],
  });
  const groups = await made("GET", `${below}/tokens/permission_groups`);
  const token = await made("POST", `${below}/tokens`, {
    name: word,
    policies: [
      {
        effect: "allow",
        permission_groups: [{ id: groups[0].id }],
        resources: { [`com.cloudflare.api.account.${accountId}`]: "*" },
      },
    ],
  });
  const subdomain = await made("GET", `${below}/workers/subdomain`);
  await made("PUT", `${below}/storage/kv/namespaces/${kv.id}/values/key`, `kept by ${word}`);
  await made("POST", `${below}/d1/database/${d1.uuid}/query`, { sql: "CREATE TABLE kept (a)" });
  await made("PUT", `${below}/r2/buckets/${word}-bucket/objects/object`, `kept by ${word}`);
  const instance = await made("POST", `${below}/workflows/${word}-flow/instances`, {});
  const namespaces = await made("GET", `${below}/workers/durable_objects/namespaces`);
  return {
    word,
    accountId,
    certificate: certificate.id,
    authority: ca.id,
    kv: kv.id,
    d1: d1.uuid,
    queue: queue.queue_id,
    queueName: `${word}-queue`,
    consumer: consumer.consumer_id,
    bucket: `${word}-bucket`,
    hyperdrive: hyperdrive.id,
    script,
    workflow: `${word}-flow`,
    version: versions.items.at(-1).id,
    deployment: deployments.deployments[0].id,
    tail: tail.id,
    zone,
    zoneId,
    host: zone,
    originHost: `o.${zone}`,
    route: route.id,
    domain: domain.id,
    record: record.id,
    recordName: `a.${zone}`,
    zonePull: zonePull.id,
    hostPull: hostPull.id,
    custom: custom.id,
    client: client.id,
    revocation: revocation.id,
    list: list.id,
    serial: issued.serial_number,
    policyName: `${word}-policy`,
    serviceToken: serviceToken.id,
    policy: policy.id,
    app: app.id,
    appPolicy: appPolicy.id,
    clientCa: clientCa.id,
    token: token.id,
    group: groups[0].id,
    instance: instance.id,
    objects: namespaces[0].id,
    subdomain: subdomain.subdomain,
  };
}

/** A Worker with a binding, a class of Durable Objects and a Workflow. */
function workerOf(word: string, certificateId: string, more: object = {}): FormData {
  return scriptForm(
    {
      bindings: [
        { type: "mtls_certificate", name: "CERT", certificate_id: certificateId },
        { type: "mtls_certificate", name: "SELF", certificate_id: "identity" },
        { type: "workflow", name: "FLOW", workflow_name: `${word}-flow`, class_name: "Flow" },
        { type: "durable_object_namespace", name: "KEPT", class_name: "Kept" },
      ],
      annotations: { "workers/message": word },
      ...more,
    },
    {
      "index.js": [
        "application/javascript+module",
        `import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
        export class Kept extends DurableObject {}
        export class Flow extends WorkflowEntrypoint { async run() {} }
        export default { fetch() { return new Response("${word}"); }, scheduled() {}, queue() {} }`,
      ],
    },
  );
}

export async function newMaterial(): Promise<Material> {
  await using openssl = await openOpenssl();
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout c.key";
  await openssl.run(`req -new ${newKey} -out c.csr -subj /CN=client`.split(" "));
  const authority = await makeAuthority();
  const { pem, key } = await authority.issue({ subject: "CN=server", dns: ["server.example"] });
  return { csr: await openssl.read("c.csr"), pem, key, ca: authority.pem };
}
