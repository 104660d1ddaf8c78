import { z } from "@hono/zod-openapi";
import { callerFacts, decide, parsePolicy, PolicyError, workerSpiffeId } from "countersign-origin";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import type { Identities } from "../../identity/identities.ts";
import {
  countPolicies,
  deletePolicy,
  findPolicy,
  insertPolicy,
  listPolicies,
  policyVersions,
} from "../../store/identities.ts";
import type { PolicyRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";

const question = z.object({
  worker: z.string().optional(),
  account: z.string().optional(),
  environment: z.string().min(1).max(64).optional(),
  spiffe_id: z.string().optional(),
  subject: z.string().optional(),
  method: z.string().default("GET"),
  path: z.string().default("/"),
});

/** Policies that origins follow. Each change makes a version; the newest is in force. */
export function policyEndpoints(
  { store, edge, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/policies";
  const read = "ssl_certs:read";
  return [
    endpoint(
      { method: "get", path, summary: "Policies of origins", scope: read },
      async ({ caller: { accountId } }) => {
        return list((await listPolicies(store.db, accountId)).map(shown));
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{name}`, summary: "The policy in force", scope: read },
      async ({ caller: { accountId }, params }) => ({
        result: shown(await existing(store.db, accountId, params["name"])),
      }),
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{name}/versions`,
        summary: "Its last 100 versions",
        scope: read,
      },
      async ({ caller: { accountId }, params }) => {
        await existing(store.db, accountId, params["name"]);
        const rows = await policyVersions(store.db, accountId, params["name"] ?? "");
        return list(rows.map(shown));
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{name}/explain`,
        summary: "What the policy says of a caller, and why",
        scope: read,
        query: question,
      },
      async ({ caller: { accountId }, params, query }) => {
        const row = await existing(store.db, accountId, params["name"]);
        const { worker, account = accountId, spiffe_id, subject = "", method } = query;
        const { trustDomain } = identities;
        const spiffeIdOf = async (scriptName: string): Promise<string> => {
          if (account === accountId && query.environment === undefined) {
            return identities.spiffeId({ accountId, scriptName });
          }
          const environment = query.environment ?? null;
          return workerSpiffeId({ trustDomain, account, worker: scriptName, environment });
        };
        const spiffeId = spiffe_id ?? (worker && (await spiffeIdOf(worker)));
        const facts = callerFacts({
          subject: subject || (worker ? `CN=${worker},O=${account}` : ""),
          issuer: "",
          serialNumber: "",
          fingerprint: "",
          uris: spiffeId ? [spiffeId] : [],
          notBefore: null,
          notAfter: null,
        });
        const decision = decide(parsePolicy(row.body), facts, { method, path: query.path });
        return { result: { ...decision, policy: row.name, version: row.version } };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{name}`,
        summary: "Put a policy in force",
        scope: "ssl_certs:write",
        body: z.unknown(),
      },
      async ({ caller, params, body }) => {
        const { accountId, email } = caller;
        const name = validName(params["name"]);
        const policy = JSON.stringify(valid(body));
        if (policy.length > LONGEST) {
          throw tooMuch(`the policy has ${policy.length} characters where ${LONGEST} are allowed`);
        }
        const value = await applyChange({ store, edge }, async ({ db, changed }) => {
          const before = await findPolicy(db, accountId, name);
          if (before === undefined && (await countPolicies(db, accountId)) >= MOST) {
            throw tooMuch(`the account has ${MOST} policies, which is as many as it may have`);
          }
          const row: PolicyRow = {
            accountId,
            name,
            version: (before?.version ?? 0) + 1,
            body: policy,
            createdOn: clock().toISOString(),
            author: email,
          };
          await insertPolicy(db, row);
          await changed({ kind: "identities", accountId });
          return {
            value: row,
            audit: {
              by: actorOf(caller),
              action: "policy.set",
              accountId,
              resource: { type: "policy", id: name },
              after: { version: row.version },
            },
          };
        });
        return { result: shown(value) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{name}`,
        summary: "Delete a policy and its versions: origins that follow it refuse all requests",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const name = await applyChange({ store, edge }, async ({ db, changed }) => {
          const row = await existing(db, accountId, params["name"]);
          await deletePolicy(db, row);
          await changed({ kind: "identities", accountId });
          return {
            value: row.name,
            audit: {
              by: actorOf(caller),
              action: "policy.delete",
              accountId,
              resource: { type: "policy", id: row.name },
              before: { version: row.version },
            },
          };
        });
        return { result: { id: name } };
      },
    ),
  ];
}

/** Characters: every origin that follows the policy gets all of it. */
const LONGEST = 128 * 1024;
/** Of an account. */
const MOST = 100;

function tooMuch(message: string): Failure {
  return new Failure("policy_invalid", { message });
}

async function existing(
  db: Database,
  accountId: string,
  name: string | undefined,
): Promise<PolicyRow> {
  const row = await findPolicy(db, accountId, name ?? "");
  if (row) return row;
  throw new Failure("policy_not_found", { message: `there is no policy "${name?.slice(0, 100)}"` });
}

function shown({ name, version, body, createdOn, author }: PolicyRow): object {
  return { name, version, policy: parsePolicy(body), created_on: createdOn, author };
}

function validName(name: string | undefined): string {
  if (name !== undefined && /^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) return name;
  throw new Failure("policy_invalid", {
    message: `"${name?.slice(0, 100)}" is no name for a policy: up to 63 of a-z, 0-9, ".", "_" and "-"`,
  });
}

function valid(body: unknown): object {
  try {
    return parsePolicy(body);
  } catch (error) {
    if (error instanceof PolicyError)
      throw new Failure("policy_invalid", { message: error.message });
    throw error;
  }
}
