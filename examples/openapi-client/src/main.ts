// A client generated from the platform's own document: `curl $api/openapi.json > openapi.json`, `npm run generate`,
// `npm run build`, and, with the variables of `countersign env`, `npm start`.
import { client } from "./generated/client.gen.js";
import {
  deleteAccountsMtlsCertificatesByCertificateId,
  getAccountsMtlsCertificates,
  getAccountsWorkersScripts,
  getAccountsWorkersScriptsByScriptNameSettings,
  getUserTokensVerify,
  postAccountsMtlsCertificates,
  putAccountsWorkersScriptsByScriptName,
} from "./generated/sdk.gen.js";

const { CLOUDFLARE_API_BASE_URL, CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID } = process.env;
client.setConfig({ baseUrl: CLOUDFLARE_API_BASE_URL ?? "", auth: () => CLOUDFLARE_API_TOKEN });
const account = { account_id: CLOUDFLARE_ACCOUNT_ID ?? "" };

const { data: verified } = await getUserTokensVerify({ throwOnError: true });
const status: string = verified.result.status;

const ca = (await import("node:fs")).readFileSync(process.argv[2] ?? "", "utf8");
const { data: made } = await postAccountsMtlsCertificates({
  path: account,
  body: { certificates: ca, ca: true, name: "generated" },
  throwOnError: true,
});
const daysLeft: number = made.result.countersign.days_left;
const { data: listed } = await getAccountsMtlsCertificates({ path: account, throwOnError: true });
const names: (string | undefined)[] = listed.result.map(({ name }) => name);
// @ts-expect-error A certificate has no such field, and the document describes every field.
const absent: unknown = made.result.private_key;

const script = { ...account, script_name: "generated" };
const { data: uploaded } = await putAccountsWorkersScriptsByScriptName({
  path: script,
  body: {
    metadata: JSON.stringify({ main_module: "index.js", compatibility_date: "2026-01-01" }),
    "index.js": new File(
      ["export default { fetch: () => new Response('generated') };"],
      "index.js",
      {
        type: "application/javascript+module",
      },
    ),
  },
  throwOnError: true,
});
const handlers: string[] = uploaded.result.handlers;
const { data: scripts } = await getAccountsWorkersScripts({ path: account, throwOnError: true });
const { data: settings } = await getAccountsWorkersScriptsByScriptNameSettings({
  path: script,
  throwOnError: true,
});
const date: string = settings.result.compatibility_date;

const { error } = await getAccountsWorkersScriptsByScriptNameSettings({
  path: { ...account, script_name: "absent" },
});
const code: number | undefined = error?.errors[0]?.code;

await deleteAccountsMtlsCertificatesByCertificateId({
  path: { ...account, certificate_id: made.result.id },
  throwOnError: true,
});
console.log(
  JSON.stringify({
    status,
    daysLeft,
    names,
    absent,
    handlers,
    date,
    code,
    scripts: scripts.result.map(({ id }) => id),
  }),
);
