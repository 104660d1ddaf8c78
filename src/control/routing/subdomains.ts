import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import { findAccount, findSubdomain, setSubdomain } from "../../store/access/accounts.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { listScripts, updateScript } from "../../store/workers/scripts.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { hasHostsOfOthers } from "./host-owners.ts";
import { existingScript } from "../workers/lookup.ts";

const label = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "is not a DNS label");
const registration = z.object({ subdomain: label });
const toggle = z.object({ enabled: z.boolean(), previews_enabled: z.boolean().optional() });

/** `workers_dev` in the configuration: whether a script answers at its own host. */
export function subdomainEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const account = "/accounts/{account_id}/workers/subdomain";
  const script = "/accounts/{account_id}/workers/scripts/{script_name}/subdomain";
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const set = async (
    call: Parameters<typeof existingScript>[1],
    { enabled, previews_enabled: previews = enabled }: z.output<typeof toggle>,
  ): Promise<object> => {
    await applyChange({ store, edge }, async ({ db, changed }) => {
      const before = await existingScript(db, call);
      const { id, name, accountId } = before;
      const after = { workersDev: Number(enabled), previews: Number(previews) };
      await updateScript(db, id, after);
      if (await currentDeployment(db, id)) {
        await changed({ kind: "script", accountId, scriptName: name });
      }
      return {
        value: null,
        audit: {
          by: actorOf(call.caller),
          action: "script.subdomain",
          accountId,
          resource: { type: "script", id, name },
          before: shown(before),
          after: shown(after),
        },
      };
    });
    return { enabled, previews_enabled: previews };
  };
  return [
    endpoint(
      { method: "get", path: account, summary: "The account's workers.dev subdomain", scope: read },
      async ({ caller }) => {
        const subdomain = (await findAccount(store.db, caller.accountId))?.subdomain;
        if (!subdomain) throw new Failure("subdomain_not_registered");
        return { result: { subdomain } };
      },
    ),
    endpoint(
      { method: "put", path: account, summary: "Register it", scope: write, body: registration },
      async ({ caller, body: { subdomain } }) => {
        const { accountId } = caller;
        await applyChange({ store, edge }, async ({ db, changed }) => {
          const holder = await findSubdomain(db, subdomain);
          if (holder && holder.id !== accountId) {
            throw new Failure("subdomain_taken", {
              message: `the subdomain "${subdomain}" is another account's`,
            });
          }
          if (await hasHostsOfOthers(db, accountId, subdomain)) throw hasOthers(subdomain);
          const before = await findAccount(db, accountId);
          await setSubdomain(db, accountId, subdomain);
          for (const { name } of await listScripts(db, accountId)) {
            await changed({ kind: "script", accountId, scriptName: name });
          }
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "account.subdomain",
              accountId,
              resource: { type: "account", id: accountId, name: before?.name ?? null },
              before: { subdomain: before?.subdomain ?? null },
              after: { subdomain },
            },
          };
        });
        return { result: { subdomain } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/workers/subdomains/{subdomain}",
        summary: "Is a subdomain taken",
        scope: read,
      },
      async ({ caller: { accountId }, params }) => {
        const subdomain = params["subdomain"] ?? "";
        if (await findSubdomain(store.db, subdomain)) throw new Failure("subdomain_taken");
        if (await hasHostsOfOthers(store.db, accountId, subdomain)) throw hasOthers(subdomain);
        throw new Failure("subdomain_available");
      },
    ),
    endpoint(
      { method: "get", path: script, summary: "Does a script answer at workers.dev", scope: read },
      async (call) => ({ result: shown(await existingScript(store.db, call)) }),
    ),
    endpoint(
      {
        method: "post",
        path: script,
        summary: "Let a script answer at workers.dev",
        scope: write,
        body: toggle,
      },
      async (call) => {
        return { result: await set(call, call.body) };
      },
    ),
    endpoint(
      { method: "delete", path: script, summary: "Let it answer there no longer", scope: write },
      async (call) => ({ result: await set(call, { enabled: false }) }),
    ),
  ];
}

function shown({
  workersDev,
  previews,
}: Pick<ScriptRow, "workersDev" | "previews">): Record<string, boolean> {
  return { enabled: workersDev === 1, previews_enabled: previews === 1 };
}

function hasOthers(subdomain: string): Failure {
  return new Failure("subdomain_taken", {
    message: `another account has hosts below the subdomain "${subdomain.slice(0, 63)}"`,
  });
}
