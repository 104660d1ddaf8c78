import assert from "node:assert/strict";
import { Agent } from "node:https";
import { say } from "../steps.ts";
import { ask, askHost, codeOf, command, issuePerson, type Person } from "./callers.ts";
import { attackDatabase, type AttackedDatabase } from "./database-attackers.ts";
import { callApi, deploy } from "./deploy.ts";
import { alertOf, forgedAs, withoutItsKey } from "./forgery.ts";
import { call } from "./load.ts";
import type { Stage } from "./stage.ts";

/** All the callers that must be refused, each with a different code. */
export async function attack(stage: Stage, database: AttackedDatabase): Promise<void> {
  const ada = await issuePerson(stage.platform, stage.folder, "ada");
  const codes = new Set<string>();
  const refused = (what: string, code: string, actual: string): void => {
    say(`${code.padEnd(30)} ${what}`);
    assert.equal(actual, code, what);
    assert.ok(!codes.has(code), `${code} was there before`);
    codes.add(code);
  };
  await forgers(stage, ada.cert, refused);
  await late(stage, refused);
  await attackDatabase(stage, ada, database);
  await stolen(stage, ada, refused);
  await namesakes(stage, refused);
}

type Refused = (what: string, code: string, actual: string) => void;

async function forgers(stage: Stage, copied: string, refused: Refused): Promise<void> {
  const { authority, api } = stage;
  const target = { port: api.port, ca: authority.pem };
  const der = copied.split("-----")[2]!.replaceAll("\n", "");
  const headers = {
    "client-cert": `:${der}:`,
    "x-countersign-worker": "a",
    "x-ssl-client-verify": "SUCCESS",
  };
  refused(
    "headers that say which Worker calls, with a copy of a certificate",
    "certificate_missing",
    (await ask({ ...target, headers })).code,
  );
  refused(
    "a copied certificate without its key: the handshake fails",
    "decrypt_error",
    await alertOf(ask({ ...target, pair: withoutItsKey(copied) })),
  );
  const forged = await forgedAs(stage, "a");
  refused(
    "another CA of the same name, which issues A's names",
    "certificate_authority_mismatch",
    (await ask({ ...target, pair: { cert: forged.chain, key: forged.key } })).code,
  );
}

async function late({ platform, api }: Stage, refused: Refused): Promise<void> {
  const answer = await call(platform, "a", "GET", `https://localhost:${api.tomorrow}/orders`);
  refused("A's certificate, a day later", "certificate_expired", codeOf(answer.body));
}

async function stolen(
  { platform, folder, authority, api }: Stage,
  { cert, key, serial }: Person,
  refused: Refused,
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
  refused("the same, with the TLS session of before", "session_revoked", resumed.code);
  agent.destroy();
}

async function namesakes(stage: Stage, refused: Refused): Promise<void> {
  const { platform, folder, authority, api, code } = stage;
  const { ready } = platform;
  await deploy(ready, "a2", code);
  const renamed = await call(platform, "a2", "POST", `${api.url}/orders/renamed`);
  refused("A's code under another name", "caller_not_named", codeOf(renamed.body));

  await callApi(ready, "DELETE", "/workers/scripts/b?force=true");
  await deploy(ready, "b", code);
  const again = await call(platform, "b", "POST", `${api.url}/orders/again`);
  refused("a Worker that was deleted and made again", "identity_deleted", codeOf(again.body));

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
