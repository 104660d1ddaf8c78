import type { Material, Things } from "./one-of-each.ts";
import { scriptForm } from "./script-form.ts";

/** The bodies for an endpoint that name these things. Empty: none has to. */
export function bodiesOf(
  operation: string,
  things: Things,
  material: Material,
): readonly unknown[] {
  const made = bodies[operation.replace("/accounts/{account_id}", "")];
  return made?.(things, material) ?? [];
}

const access = (things: Things): readonly object[] => [
  {
    name: "n",
    decision: "non_identity",
    include: [{ service_token: { token_id: things.serviceToken } }],
  },
];
const application = (things: Things): readonly object[] => [
  { type: "self_hosted", name: "n", domain: `n.${things.zone}`, policies: [things.policy] },
  { type: "self_hosted", name: "n", domain: `n.${things.zone}`, policies: [{ id: things.policy }] },
];
const hyperdrive = (things: Things): readonly object[] =>
  [
    { mtls_certificate_id: things.certificate, sslmode: "require" },
    { ca_certificate_id: things.authority, sslmode: "verify-full" },
  ].map((mtls) => ({
    name: `n-${things.word}`,
    origin: {
      scheme: "postgres",
      host: "db.example",
      port: 5432,
      database: "d",
      user: "u",
      password: "p",
    },
    mtls,
  }));
const consumer = (things: Things): readonly object[] => [
  { type: "worker", script_name: things.script },
  { type: "worker", dead_letter_queue: things.queueName },
];
const upload = (things: Things): readonly FormData[] =>
  bindings(things).map((binding) => scriptForm({ bindings: [binding] }));
const token = (things: Things): readonly object[] => [
  {
    name: "n",
    policies: [
      {
        effect: "allow",
        permission_groups: [{ id: things.group }],
        resources: { [`com.cloudflare.api.account.${things.accountId}`]: "*" },
      },
    ],
  },
];
const worker = (things: Things): readonly object[] => [{ name: things.script }];
const pair = (_: Things, material: Material): readonly object[] => [
  { certificate: material.pem, private_key: material.key },
];
const record = (things: Things): readonly object[] => [
  {
    type: "CNAME",
    name: `c.${things.zone}`,
    content: `a.${things.zone}`,
    proxied: true,
    ttl: 1,
  },
];

const bodies: Readonly<Record<string, (things: Things, material: Material) => readonly unknown[]>> =
  {
    "PUT /access/apps/{app_id}": application,
    "POST /access/apps": application,
    "POST /access/apps/{app_id}/policies": access,
    "PUT /access/apps/{app_id}/policies/{policy_id}": access,
    "POST /access/policies": access,
    "PUT /access/policies/{policy_id}": access,
    "POST /access/certificates": (things, { ca }) => [
      { name: "n", certificate: ca, associated_hostnames: [things.zone] },
    ],
    "PUT /access/certificates/{certificate_id}": (things) => [
      { name: "n", associated_hostnames: [things.zone] },
    ],
    "PUT /access/service_tokens/{token_id}": () => [{ name: "n" }],
    "POST /hyperdrive/configs": hyperdrive,
    "PUT /hyperdrive/configs/{hyperdrive_id}": hyperdrive,
    "PATCH /hyperdrive/configs/{hyperdrive_id}": hyperdrive,
    "POST /countersign/hyperdrive/{hyperdrive_id}/test": (things) => [{ worker: things.script }],
    "PUT /countersign/hosts/{host}/clients": (things) => [
      { mode: "required", authorities: [things.authority] },
    ],
    "PUT /countersign/hosts/{host}/origin": (things) => [
      { to: "https://origin.example", certificate: things.certificate },
    ],
    "PUT /countersign/authorities/{certificate_id}/trust": (things) => [
      { account: false, hosts: [], certificates: [things.certificate] },
    ],
    "PATCH /countersign/certificates/{certificate_id}": () => [{ name: "n" }],
    "POST /countersign/certificates/{certificate_id}/revoke": () => [{ version: 1 }],
    "POST /countersign/certificates/{certificate_id}/test": () => [{ url: "https://127.0.0.1:1" }],
    "POST /countersign/certificates/{certificate_id}/versions": (_, material) => [
      { certificates: material.pem, private_key: material.key },
    ],
    "POST /countersign/certificates/{certificate_id}/versions/{version}/activate": () => [{}],
    "PUT /countersign/hosts/{host}/certificate": (_, material) => [
      { certificate: material.pem, private_key: material.key },
    ],
    "PUT /countersign/hosts/{host}/acme": () => [
      { directory: "https://127.0.0.1:1/", email: "a@example.com", accept_terms: true },
    ],
    "PUT /countersign/policies/{name}": (things) => [{ allow: [{ worker: things.script }] }],
    "POST /countersign/scripts/{script_name}/check": upload,
    "PUT /workers/scripts/{script_name}": upload,
    "POST /workers/scripts/{script_name}/versions": upload,
    "PUT /workers/scripts/{script_name}/content": () => [scriptForm()],
    "PATCH /workers/scripts/{script_name}/settings": (things) =>
      bindings(things).map((binding) => settingsForm({ bindings: [binding] })),
    "PATCH /workers/scripts/{script_name}/script-settings": () => [{ tags: ["n"] }],
    "PUT /workers/scripts/{script_name}/secrets": () => [
      { name: "SECRET", text: "t", type: "secret_text" },
    ],
    "PATCH /workers/scripts/{script_name}/secrets-bulk": () => [{ secrets: {} }],
    "PUT /workers/scripts/{script_name}/schedules": () => [[{ cron: "0 0 2 1 *" }]],
    "POST /countersign/scripts/{script_name}/cron": () => [{ cron: "0 0 1 1 *" }],
    "PUT /countersign/scripts/{script_name}/bindings/{binding}": () => [{ mode: "gateway" }],
    "POST /workers/scripts/{script_name}/subdomain": () => [{ enabled: true }],
    "POST /workers/scripts/{script_name}/deployments": (things) => [
      { strategy: "percentage", versions: [{ version_id: things.version, percentage: 100 }] },
    ],
    "POST /workers/scripts/{script_name}/assets-upload-session": () => [{ manifest: {} }],
    "POST /workers/scripts/{script_name}/tails": () => [{ filters: [] }],
    "PUT /workers/scripts/{script_name}/routes": (things) => [
      [{ pattern: `r.${things.zone}/*`, zone_name: things.zone }],
      [{ pattern: `r.${things.zone}/*`, zone_id: things.zoneId }],
    ],
    "POST /workers/scripts/{script_name}/domains/changeset": (things) => [
      [{ hostname: `d.${things.zone}`, zone_id: things.zoneId }],
    ],
    "PUT /workers/scripts/{script_name}/domains/records": (things) => [
      {
        origins: [{ hostname: `d.${things.zone}`, enabled: true }],
        override_existing_origin: true,
      },
    ],
    "POST /workers/workers/{script_name}/versions": () => [{ modules: [] }],
    "PUT /workers/domains": (things) => [
      { hostname: `www.${things.zone}`, service: things.script, zone_id: things.zoneId },
    ],
    "POST /workers/workers": worker,
    "PUT /workers/workers/{script_name}": worker,
    "PATCH /workers/workers/{script_name}": worker,
    "PATCH /workers/workers/{script_name}/versions/latest": () => [{ annotations: {} }],
    "PUT /workflows/{workflow_name}": (things) => [
      { script_name: things.script, class_name: "Flow" },
    ],
    "POST /workflows/{workflow_name}/instances": (things) => [{ instance_id: things.instance }],
    "PATCH /workflows/{workflow_name}/instances/{instance_id}/status": () => [{ status: "pause" }],
    "POST /workflows/{workflow_name}/instances/batch/delete": (things) => [
      { instances: [things.instance] },
    ],
    "PUT /storage/kv/namespaces/{namespace_id}": () => [{ title: "n" }],
    "PUT /storage/kv/namespaces/{namespace_id}/values/{key_name}": () => ["value"],
    "PUT /storage/kv/namespaces/{namespace_id}/bulk": () => [[{ key: "key", value: "v" }]],
    "DELETE /storage/kv/namespaces/{namespace_id}/bulk": () => [["key"]],
    "POST /storage/kv/namespaces/{namespace_id}/bulk/delete": () => [["key"]],
    "POST /storage/kv/namespaces/{namespace_id}/bulk/get": () => [{ keys: ["key"] }],
    "PUT /d1/database/{database_id}": () => [{ read_replication: { mode: "disabled" } }],
    "PATCH /d1/database/{database_id}": () => [{ read_replication: { mode: "disabled" } }],
    "POST /d1/database/{database_id}/query": () => [{ sql: "SELECT * FROM kept" }],
    "POST /d1/database/{database_id}/raw": () => [{ sql: "SELECT * FROM kept" }],
    "POST /d1/database/{database_id}/import": () => [
      { action: "init", etag: "d41d8cd98f00b204e9800998ecf8427e" },
    ],
    "POST /d1/database/{database_id}/export": () => [{ output_format: "polling" }],
    "PUT /queues/{queue_id}": () => [{ settings: { delivery_delay: 1 } }],
    "PATCH /queues/{queue_id}": () => [{ settings: { delivery_delay: 1 } }],
    "POST /queues/{queue_id}/purge": () => [{ delete_messages_permanently: true }],
    "POST /queues/{queue_id}/consumers": consumer,
    "PUT /queues/{queue_id}/consumers/{consumer_id}": consumer,
    "POST /queues/{queue_id}/messages": () => [{ body: "text" }],
    "POST /queues/{queue_id}/messages/batch": () => [{ messages: [{ body: "text" }] }],
    "PUT /r2/buckets/{bucket_name}/objects/{object_key}": () => ["content"],
    "POST /tokens": token,
    "PUT /tokens/{token_id}": token,
    "POST /user/tokens": token,
    "PUT /user/tokens/{token_id}": token,
    "POST /zones": (things) => [
      { name: `new-${things.zone}`, account: { id: things.accountId } },
      { name: `sub.${things.zone}` },
      { name: things.zone },
    ],
    "PUT /zones/{zone_id}/certificate_authorities/hostname_associations": (things) => [
      { hostnames: [`a.${things.zone}`], mtls_certificate_id: things.authority },
    ],
    "POST /zones/{zone_id}/client_certificates": (_, { csr }) => [{ csr, validity_days: 30 }],
    "PATCH /zones/{zone_id}/client_certificates/{client_certificate_id}": () => [
      { reactivate: true },
    ],
    "POST /zones/{zone_id}/origin_tls_client_auth": pair,
    "POST /zones/{zone_id}/origin_tls_client_auth/hostnames/certificates": pair,
    "POST /zones/{zone_id}/custom_certificates": pair,
    "PATCH /zones/{zone_id}/custom_certificates/{certificate_id}": pair,
    "POST /zones/{zone_id}/dns_records/import": () => [zoneFile()],
    "POST /zones/{zone_id}/workers/routes": (things) => [
      { pattern: `q.${things.zone}/*`, script: things.script },
    ],
    "PUT /zones/{zone_id}/workers/routes/{route_id}": (things) => [
      { pattern: `q.${things.zone}/*`, script: things.script },
    ],
    "POST /zones/{zone_id}/dns_records": record,
    "PUT /zones/{zone_id}/dns_records/{dns_record_id}": record,
    "PATCH /zones/{zone_id}/dns_records/{dns_record_id}": (things) => [
      { id: things.record, comment: "c" },
    ],
    "POST /zones/{zone_id}/dns_records/batch": (things) => [
      { deletes: [{ id: things.record }] },
      { patches: [{ id: things.record, comment: "c" }] },
      { puts: [{ id: things.record, ...record(things)[0] }] },
    ],
    "PUT /zones/{zone_id}/origin_tls_client_auth/hostnames": (things) => [
      { config: [{ hostname: `a.${things.zone}`, cert_id: things.hostPull, enabled: true }] },
    ],
    "PUT /zones/{zone_id}/origin_tls_client_auth/settings": () => [{ enabled: true }],
    "PATCH /zones/{zone_id}/settings/tls_client_auth": () => [{ value: "on" }],
    "PATCH /zones/{zone_id}/settings": () => [{ items: [{ id: "min_tls_version", value: "1.2" }] }],
    "PATCH /zones/{zone_id}/settings/{setting_id}": () => [{ value: "1.2" }],
    "PUT /countersign/proxied_zones": (things) => [{ zones: [things.zone] }],
  };

/** Each kind of binding that names something. */
function bindings(things: Things): readonly object[] {
  return [
    { type: "mtls_certificate", name: "X", certificate_id: things.certificate },
    { type: "mtls_certificate", name: "X", certificate_id: things.authority },
    { type: "kv_namespace", name: "X", namespace_id: things.kv },
    { type: "d1", name: "X", id: things.d1 },
    { type: "d1", name: "X", database_id: things.d1 },
    { type: "r2_bucket", name: "X", bucket_name: things.bucket },
    { type: "queue", name: "X", queue_name: things.queueName },
    { type: "hyperdrive", name: "X", id: things.hyperdrive },
    { type: "service", name: "X", service: things.script },
    {
      type: "durable_object_namespace",
      name: "X",
      class_name: "Kept",
      script_name: things.script,
    },
    {
      type: "workflow",
      name: "X",
      workflow_name: things.workflow,
      class_name: "Flow",
      script_name: things.script,
    },
  ];
}

function zoneFile(): FormData {
  const form = new FormData();
  form.set("file", new File(["a 60 IN A 192.0.2.1"], "zone.txt"));
  return form;
}

function settingsForm(settings: object): FormData {
  const form = new FormData();
  form.set("settings", JSON.stringify(settings));
  return form;
}
