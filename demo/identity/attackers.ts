import assert from "node:assert/strict";
import { Agent } from "node:https";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { say } from "../steps.ts";
import { ask, askHost, codeOf, command, issuePerson } from "./callers.ts";
import { callApi, deploy } from "./deploy.ts";
import { call } from "./load.ts";
import type { Stage } from "./stage.ts";

/** Everybody who should not get in, and the code with which each is refused. */
export async function attack(stage: Stage): Promise<void> {
  const ada = await issuePerson(stage.platform, stage.folder, "ada");
  await forgers(stage, ada.cert);
  await late(stage);
  await stolen(stage, ada);
  await namesakes(stage);
}

function refused(what: string, code: string, actual: string): void {
  say(`${code.padEnd(22)} ${what}`);
  assert.equal(actual, code, what);
}

async function forgers({ platform, authority, api }: Stage, copied: string): Promise<void> {
  const { accountId } = platform.ready;
  const target = { port: api.port, ca: authority.pem };
  const der = copied.split("-----")[2]!.replaceAll("\n", "");
  const headers = {
    "client-cert": `:${der}:`,
    "x-countersign-worker": "a",
    "x-ssl-client-verify": "SUCCESS",
  };
  refused(
    "headers that say which Worker calls, and a copied certificate without its key",
    "certificate_missing",
    (await ask({ ...target, headers })).code,
  );
  const other = await makeAuthority("Countersign identities root");
  const forged = await other.issue({
    subject: `O=${accountId},CN=a`,
    uris: [`spiffe://example.org/account/${accountId}/worker/a`],
  });
  refused(
    "another CA with the same names, which issues A's names",
    "certificate_untrusted",
    (await ask({ ...target, pair: { cert: forged.chain, key: forged.key } })).code,
  );
  refused(
    "a key of one's own, with a certificate of one's own before the copied one",
    "certificate_untrusted",
    (await ask({ ...target, pair: { cert: forged.chain + copied, key: forged.key } })).code,
  );
}

async function late({ platform, api }: Stage): Promise<void> {
  const answer = await call(platform, "a", "GET", `https://localhost:${api.tomorrow}/orders`);
  refused("A's certificate, a day later", "certificate_expired", codeOf(answer.body));
}

async function stolen(
  { platform, folder, authority, api }: Stage,
  { cert, key, serial }: Awaited<ReturnType<typeof issuePerson>>,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const target = { port: api.port, ca: authority.pem, pair: { cert, key } };
  const before = await ask({ ...target, agent });
  assert.equal(before.status, 200, before.code);
  await command(platform, folder, "identity", "withdraw", serial, "--yes");
  const end = performance.now() + 1_000;
  let after = await ask({ ...target, agent });
  while (after.status === 200 && performance.now() < end) after = await ask({ ...target, agent });
  refused("a revoked certificate, on a connection that is open", "certificate_revoked", after.code);
  const resumed = await ask({ ...target, session: before.session });
  refused("the same, with the TLS session of before", "certificate_revoked", resumed.code);
  agent.destroy();
}

async function namesakes(stage: Stage): Promise<void> {
  const { platform, folder, authority, api, code } = stage;
  const { ready } = platform;
  await deploy(ready, "a2", code);
  const renamed = await call(platform, "a2", "POST", `${api.url}/orders/renamed`);
  refused("A's code under another name", "caller_not_named", codeOf(renamed.body));

  await callApi(ready, "DELETE", "/workers/scripts/b?force=true");
  await deploy(ready, "b", code);
  const again = await call(platform, "b", "POST", `${api.url}/orders/again`);
  refused("a Worker that was deleted and made again", "identity_revoked", codeOf(again.body));

  const made = await command(
    platform,
    folder,
    "account",
    "add",
    "Rival",
    "--subdomain",
    "rival",
    "--json",
  );
  const { id } = JSON.parse(made) as { id: string };
  const token = await command(
    platform,
    folder,
    "token",
    "create",
    "rival",
    "--account",
    id,
    "--role",
    "admin",
    "--json",
  );
  const rival = { ...ready, accountId: id, token: (JSON.parse(token) as { token: string }).token };
  await callApi(rival, "POST", "/mtls_certificates", {
    certificates: authority.pem,
    ca: true,
    name: "origins",
  });
  await deploy(rival, "a", code);
  await callApi(rival, "POST", "/workers/scripts/a/subdomain", { enabled: true });
  const query = new URLSearchParams({ method: "POST", url: `${api.url}/orders/rival` });
  const answer = await askHost(platform, "a.rival.workers.dev", `/call?${query.toString()}`);
  refused(
    "another account's Worker of the same name",
    "certificate_untrusted",
    codeOf(answer.body),
  );
}
