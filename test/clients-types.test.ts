import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { startControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

const root = join(import.meta.dirname, "..");

/**
 * The compiler judges: each answer becomes a constant, which must match the SDK's type of that answer field by field,
 * required and optional ones.
 */
test("every answer has the type that Cloudflare's SDK says it has", async () => {
  await using control = await startControl();
  const sources: string[] = [];
  const call = async (
    method: string,
    path: string,
    [module, type]: readonly [module: string, type: string],
    body?: unknown,
  ): Promise<any> => {
    const answer = await control.call(method, path, body);
    assert.equal(answer.success, true, `${method} ${path}: ${JSON.stringify(answer.errors)}`);
    const name = `answer${sources.length}`;
    sources.push(
      `// ${method} ${path}`,
      `const ${name} = ${JSON.stringify(answer.result)} as const;`,
      `check<import("cloudflare/resources/${module}").${type}>(${name});`,
    );
    return answer.result;
  };
  const account = "/accounts/{account}";
  const scripts = `${account}/workers/scripts`;

  const authority = await makeAuthority();
  const leaf = await authority.issue({ subject: "CN=typed" });
  const mtls = "mtls-certificates/mtls-certificates";
  const certificate = await call(
    "POST",
    `${account}/mtls_certificates`,
    [mtls, "MTLSCertificateCreateResponse"],
    { certificates: leaf.chain, private_key: leaf.key, ca: false, name: "typed" },
  );
  await call("GET", `${account}/mtls_certificates`, [mtls, "MTLSCertificate[]"]);
  const certificatePath = `${account}/mtls_certificates/${certificate.id}`;
  await call("GET", certificatePath, [mtls, "MTLSCertificate"]);

  const script = "workers/scripts/scripts";
  await control.call("PUT", `${scripts}/callee`, scriptForm());
  const form = () =>
    scriptForm({
      compatibility_flags: ["nodejs_compat"],
      observability: { enabled: true, logs: { enabled: true, invocation_logs: true } },
      tags: ["a"],
      limits: { cpu_ms: 50 },
      placement: { mode: "smart" },
      annotations: { "workers/message": "m", "workers/tag": "t" },
      bindings: [
        { type: "plain_text", name: "T", text: "x" },
        { type: "json", name: "J", json: { a: [1] } },
        { type: "secret_text", name: "S", text: "s" },
        { type: "mtls_certificate", name: "C", certificate_id: certificate.id },
        { type: "service", name: "V", service: "callee", entrypoint: "E", props: { a: 1 } },
        { type: "version_metadata", name: "M" },
      ],
    });
  const typed = `${scripts}/typed`;
  await call("PUT", typed, [script, "ScriptUpdateResponse"], form());
  await call("GET", scripts, [script, "ScriptListResponse[]"]);
  const both = "workers/scripts/script-and-version-settings";
  await call("GET", `${typed}/settings`, [both, "ScriptAndVersionSettingGetResponse"]);
  const settings = new FormData();
  settings.set("settings", JSON.stringify({ compatibility_date: "2026-01-01" }));
  await call("PATCH", `${typed}/settings`, [both, "ScriptAndVersionSettingEditResponse"], settings);
  await call("PUT", `${typed}/content`, ["workers/scripts/scripts", "Script"], scriptForm());
  const setting = "workers/scripts/scripts";
  await call("GET", `${typed}/script-settings`, [setting, "ScriptSetting"]);
  await call("PATCH", `${typed}/script-settings`, [setting, "ScriptSetting"], { logpush: false });

  // The SDK types the bindings of a version as one object; Cloudflare sends a list, and so do we.
  const versions = "workers/scripts/versions";
  const version = (await control.call("POST", `${typed}/versions`, scriptForm())).result;
  assert.ok(Array.isArray(version.resources.bindings));
  sources.push(
    `const version = ${JSON.stringify({ ...version, resources: { ...version.resources, bindings: {} } })} as const;`,
    `check<import("cloudflare/resources/${versions}").VersionCreateResponse>(version);`,
    `check<import("cloudflare/resources/${versions}").VersionGetResponse>(version);`,
  );
  const deployments = "workers/scripts/deployments";
  const deployment = await call("POST", `${typed}/deployments`, [deployments, "Deployment"], {
    strategy: "percentage",
    versions: [{ version_id: version.id, percentage: 100 }],
  });
  await call("GET", `${typed}/deployments`, [deployments, "DeploymentListResponse"]);
  const one = `${typed}/deployments/${deployment.id}`;
  await call("GET", one, [deployments, "Deployment"]);

  const secrets = "workers/scripts/secrets";
  const secret = { name: "N", text: "x", type: "secret_text" };
  await call("PUT", `${typed}/secrets`, [secrets, "SecretUpdateResponse"], secret);
  await call("GET", `${typed}/secrets`, [secrets, "SecretListResponse[]"]);
  await call("GET", `${typed}/secrets/N`, [secrets, "SecretGetResponse"]);
  const bulk = { secrets: { O: { type: "secret_text", text: "x" } } };
  await call("PATCH", `${typed}/secrets-bulk`, [secrets, "SecretBulkUpdateResponse"], bulk);
  const subdomain = "workers/scripts/subdomain";
  await call("POST", `${typed}/subdomain`, [subdomain, "SubdomainCreateResponse"], {
    enabled: true,
  });
  await call("GET", `${typed}/subdomain`, [subdomain, "SubdomainGetResponse"]);
  await call("GET", `${typed}/schedules`, ["workers/scripts/schedules", "ScheduleGetResponse"]);

  const domains = "workers/domains";
  const domain = await call(
    "PUT",
    `${account}/workers/domains`,
    [domains, "DomainUpdateResponse"],
    {
      hostname: "typed.example.test",
      service: "typed",
      environment: "production",
    },
  );
  await call("GET", `${account}/workers/domains`, [domains, "DomainListResponse[]"]);
  const domainPath = `${account}/workers/domains/${domain.id}`;
  await call("GET", domainPath, [domains, "DomainGetResponse"]);
  await call("GET", "/zones", ["zones/zones", "Zone[]"]);
  const zone = `/zones/${domain.zone_id}`;
  await call("GET", zone, ["zones/zones", "Zone"]);
  const routes = "workers/routes";
  const route = await call("POST", `${zone}/workers/routes`, [routes, "RouteCreateResponse"], {
    pattern: "a.example.test/*",
    script: "typed",
  });
  await call("GET", `${zone}/workers/routes`, [routes, "RouteListResponse[]"]);
  const routePath = `${zone}/workers/routes/${route.id}`;
  await call("GET", routePath, [routes, "RouteGetResponse"]);
  await call("PUT", routePath, [routes, "RouteUpdateResponse"], {
    pattern: "b.example.test/*",
    script: "callee",
  });

  const beta = "workers/beta/workers";
  const workers = `${account}/workers/workers`;
  const worker = await call("POST", workers, [`${beta}/workers`, "Worker"], { name: "made" });
  await call("GET", workers, [`${beta}/workers`, "Worker[]"]);
  const workerPath = `${workers}/${worker.id}`;
  await call("GET", workerPath, [`${beta}/workers`, "Worker"]);
  await call("PATCH", workerPath, [`${beta}/workers`, "Worker"], { tags: ["x"] });
  const made = await call("POST", `${workerPath}/versions`, [`${beta}/versions`, "Version"], {
    main_module: "index.js",
    modules: [
      {
        name: "index.js",
        content_type: "application/javascript+module",
        content_base64: Buffer.from("export default { fetch() {} }").toString("base64"),
      },
    ],
  });
  await call("GET", `${workerPath}/versions`, [`${beta}/versions`, "Version[]"]);
  await call("GET", `${workerPath}/versions/${made.id}`, [`${beta}/versions`, "Version"]);

  await call("GET", "/accounts", ["accounts/accounts", "Account[]"]);
  await call("GET", account, ["accounts/accounts", "Account"]);
  await call("GET", "/memberships", ["memberships/memberships", "Membership[]"]);
  await call("GET", "/user/tokens/verify", ["user/tokens/tokens", "TokenVerifyResponse"]);
  await call("GET", "/user/tokens", ["shared", "Token[]"]);
  const groups = ["user/tokens/permission-groups", "PermissionGroupListResponse[]"] as const;
  await call("GET", "/user/tokens/permission_groups", groups);
  await call("GET", `${account}/workers/subdomain`, ["workers/subdomains", "SubdomainGetResponse"]);

  await compile(sources);
});

async function compile(sources: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-types-"));
  try {
    await symlink(join(root, "node_modules"), join(folder, "node_modules"));
    await writeFile(join(folder, "answers.ts"), [...preamble, ...sources, ""].join("\n"));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "esnext"];
    const modules = ["--module", "nodenext", "--moduleResolution", "nodenext", "--types", "node"];
    const compiler = join(root, "node_modules/.bin/tsc");
    const run = promisify(execFile)(compiler, [...options, ...modules, "answers.ts"], {
      cwd: folder,
    });
    const said = await run.then(
      () => "",
      (error: { stdout: string }) => error.stdout,
    );
    assert.equal(said, "", `${said}\n${sources.join("\n")}`.slice(0, 20_000));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const preamble = [
  "type Read<T> = T extends readonly (infer U)[] ? readonly Read<U>[]",
  "  : T extends object ? { readonly [K in keyof T]: Read<T[K]> } : T;",
  "declare function check<T>(answer: Read<T>): void;",
  "export {};",
];
